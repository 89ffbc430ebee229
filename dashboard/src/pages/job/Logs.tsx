import { useDeferredValue, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, Download, ScrollText } from "lucide-react";
import { useZone } from "@/app/settings";
import { Button, IconButton } from "@/components/Button";
import { Input, Select } from "@/components/Field";
import { Panel } from "@/components/Panel";
import { ErrorState, Skeleton } from "@/components/States";
import { cx } from "@/lib/cx";
import { clock, count, exact, number, type Zone } from "@/lib/format";
import { asText, attemptOf, filtered, LEVELS, type Attempt, type Level, type LogLine } from "./lines";
import { save } from "./save";
import { useLines } from "./useLines";

const COLOURS: Record<string, string> = { debug: "text-faint", info: "text-blue", warning: "text-amber", error: "text-red", critical: "text-red font-semibold" };
const LINE = 22;
/** How far from its end the log may be and still follow, in pixels. */
const NEAR = 40;
/** How much of one line is shown at most. */
const CHARACTERS = 5000;

/** A job's log, which follows what comes until it is scrolled up. */
export function Logs({ jobId, isFinished, attempts }: { jobId: string; isFinished: boolean; attempts: readonly Attempt[] }) {
  const { lines, isLoading, error, retry } = useLines(jobId, isFinished);
  const [least, setLeast] = useState<Level>("debug");
  const [typed, setTyped] = useState("");
  const text = useDeferredValue(typed);
  const shown = useMemo(() => filtered(lines, least, text), [lines, least, text]);
  const isFiltered = least !== "debug" || text.trim() !== "";
  return (
    <Panel
      flush
      title={
        <span className="flex items-baseline gap-2">
          Logs
          {lines.length > 0 && (
            <span role="status" className="text-sm font-normal text-muted">{isFiltered ? `${number(shown.length)} of ${count(lines.length, "line")}` : count(lines.length, "line")}</span>
          )}
        </span>
      }
      actions={
        lines.length > 0 && (
          <div className="flex min-w-0 items-center gap-2">
            <Input aria-label="Search the log" placeholder="Search" value={typed} onChange={(event) => setTyped(event.target.value)} className="h-7 w-40 max-sm:w-24" />
            <Select aria-label="Least level" value={least} onChange={(event) => setLeast(event.target.value as Level)} className="[&>select]:h-7 [&>svg]:top-1.5">
              {LEVELS.map((level) => <option key={level} value={level}>{level === "debug" ? "All levels" : level === "critical" ? "critical" : `${level} and up`}</option>)}
            </Select>
            <IconButton label="Download the log" icon={Download} className="size-7" onClick={() => save(`${jobId}.log`, asText(shown))} />
          </div>
        )
      }
    >
      {error !== null && lines.length === 0 ? (
        <ErrorState error={error} onRetry={retry} />
      ) : isLoading && lines.length === 0 ? (
        <div className="flex flex-col gap-2 px-4 pb-4"><Skeleton className="w-2/3" /><Skeleton className="w-1/2" /></div>
      ) : lines.length === 0 ? (
        <p className="flex items-center gap-2 px-4 pb-4 text-muted">
          <ScrollText className="size-4 shrink-0" aria-hidden />
          <span>{isFinished ? "It logged nothing." : "Nothing logged so far."} What a job says with <code className="font-mono text-sm">current_job().log.info(…)</code> or <code className="font-mono text-sm">logging</code> shows up here.</span>
        </p>
      ) : (
        <Lines lines={shown} attempts={attempts} follows={!isFinished} />
      )}
    </Panel>
  );
}

function Lines({ lines, attempts, follows }: { lines: readonly LogLine[]; attempts: readonly Attempt[]; follows: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(follows);
  const [seen, setSeen] = useState(lines.length);
  const zone = useZone();
  const virtualizer = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => LINE, overscan: 20 });
  const toEnd = () => lines.length > 0 && virtualizer.scrollToIndex(lines.length - 1, { align: "end" });
  useEffect(() => {
    if (!following) return;
    setSeen(lines.length);
    toEnd();
  }, [lines.length, following]);
  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    setFollowing(element.scrollHeight - element.scrollTop - element.clientHeight < NEAR);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "End") {
      event.preventDefault();
      // Also of lines that are still being loaded.
      setFollowing(true);
      toEnd();
    } else if (event.key === "Home") {
      event.preventDefault();
      virtualizer.scrollToIndex(0);
    }
  };
  const missed = Math.max(0, lines.length - seen);
  return (
    <div className="relative border-t border-line">
      <div ref={box} role="log" aria-label="Log lines" aria-live="off" tabIndex={0} onScroll={onScroll} onKeyDown={onKeyDown} className="max-h-[28rem] overflow-auto py-2 font-mono text-sm">
        <div className="relative w-full" style={{ height: virtualizer.getTotalSize() }}>
          {virtualizer.getVirtualItems().map((item) => {
            const line = lines[item.index];
            const before = lines[item.index - 1];
            return (
              line && (
                <div key={item.key} ref={virtualizer.measureElement} data-index={item.index} className="absolute inset-x-0 top-0" style={{ transform: `translateY(${item.start}px)` }}>
                  <Line line={line} zone={zone} attempt={attemptOf(line, attempts)} newAttempt={before !== undefined && attemptOf(before, attempts) !== attemptOf(line, attempts)} />
                </div>
              )
            );
          })}
        </div>
        {lines.length === 0 && <p className="px-4 py-2 font-sans text-muted">No line is like this.</p>}
      </div>
      {follows && !following && lines.length > 0 && (
        <Button
          kind="primary"
          size="small"
          icon={ArrowDown}
          className="absolute right-4 bottom-3 rounded-full shadow-float"
          onClick={() => {
            setFollowing(true);
            toEnd();
          }}
        >
          {missed > 0 ? `Follow, ${number(missed)} new` : "Follow"}
        </Button>
      )}
    </div>
  );
}

function Line({ line, zone, attempt, newAttempt }: { line: LogLine; zone: Zone; attempt: string; newAttempt: boolean }) {
  const at = Date.parse(line.at);
  const level = line.level.toLowerCase();
  return (
    <div className={cx("flex gap-3 px-4 leading-[22px] hover:bg-hover", newAttempt && "border-t border-dashed border-line-strong/60")}>
      <time dateTime={line.at} title={`${exact(at, zone)}, ${attempt}, ${line.logger}`} className="shrink-0 text-faint max-sm:hidden">
        {clock(at, zone)}.{String(new Date(at).getUTCMilliseconds()).padStart(3, "0")}
      </time>
      <span className={cx("w-16 shrink-0 truncate", COLOURS[level] ?? "text-muted")}>{level}</span>
      <span dir="auto" className="min-w-0 flex-1 break-words whitespace-pre-wrap">{line.message.length > CHARACTERS ? `${line.message.slice(0, CHARACTERS)}…` : line.message}</span>
    </div>
  );
}
