import { ChevronLeft, ChevronRight, ChevronsLeft } from "lucide-react";
import { Button, IconButton } from "@/components/Button";
import { Select } from "@/components/Field";
import { number } from "@/lib/format";
import { LIMITS } from "./search";

interface Props {
  page: number;
  limit: number;
  rows: number;
  total: number;
  hasNext: boolean;
  onFirst: () => void;
  onPrevious: () => void;
  onNext: () => void;
  onLimit: (limit: number) => void;
}

/** Which part of the list is shown, and the way to the others. */
export function Paging({ page, limit, rows, total, hasNext, onFirst, onPrevious, onNext, onLimit }: Props) {
  const first = (page - 1) * limit + 1;
  return (
    <nav aria-label="Parts of the list" className="mt-3 flex flex-wrap items-center gap-x-4 gap-y-2 text-muted">
      <p role="status">
        {rows === 0 ? "None" : `${number(first)} to ${number(first + rows - 1)}`} of <span className="font-medium text-ink">{number(total)}</span>
      </p>
      <label className="flex items-center gap-2">
        <span className="max-sm:sr-only">Rows</span>
        <Select aria-label="Rows on a page" value={limit} onChange={(event) => onLimit(Number(event.target.value))}>
          {LIMITS.map((each) => <option key={each} value={each}>{each}</option>)}
        </Select>
      </label>
      <div className="ml-auto flex items-center gap-1">
        {page > 2 && <IconButton label="First page" icon={ChevronsLeft} onClick={onFirst} />}
        <Button size="small" icon={ChevronLeft} disabled={page <= 1} onClick={onPrevious}>Previous</Button>
        <Button size="small" disabled={!hasNext} onClick={onNext}>
          Next
          <ChevronRight className="size-3.5" aria-hidden />
        </Button>
      </div>
    </nav>
  );
}
