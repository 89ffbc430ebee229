import { useState } from "react";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { MailCheck, RotateCcw } from "lucide-react";
import { api, call, get, refresh, type Schemas } from "@/api/client";
import { useRefusal } from "@/api/role";
import { Badge } from "@/components/Badge";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { ConfirmDialog } from "@/components/Dialog";
import { PageHeader, Panel } from "@/components/Panel";
import { EmptyState, ErrorState, Skeleton } from "@/components/States";
import { Segments } from "@/components/Tabs";
import { Time } from "@/components/Time";
import { toast } from "@/components/Toaster";
import { count, shortId } from "@/lib/format";
import { readable } from "./body";
import type { DeadLettersSearch } from "./search";

type Letter = Schemas["DeadLetterView"];

/** Events that couldn't be applied to the history: why, and another try. */
export default function DeadLetters() {
  const search = useSearch({ from: "/layout/dead-letters" });
  const navigate = useNavigate();
  const go = (next: DeadLettersSearch) => void navigate({ to: "/dead-letters", search: next });
  const query = { limit: 50, ...(search.before === undefined ? {} : { before: search.before }) };
  const letters = useQuery({ ...get("/api/v1/dead-letters", { params: { query } }), refetchInterval: 10_000, placeholderData: keepPreviousData });
  const [asking, setAsking] = useState<Letter | null>(null);
  const client = useQueryClient();
  const replay = async (letter: Letter) => {
    const { outcome } = await call(api.POST("/api/v1/dead-letters/{letter_id}/replay", { params: { path: { letter_id: letter.id } } }));
    if (outcome === "applied") toast({ title: "The event was applied", detail: "The history has it now." });
    else toast({ title: "It still can't be read", detail: "The letter stays. An event of a newer Conduit needs a newer server.", tone: "red" });
    refresh(client, "/api/v1/dead-letters", "/api/v1/jobs");
  };
  const items = letters.data?.items.filter((letter) => search.show === "all" || letter.replayed_at === null);
  const replayed = (letters.data?.items.length ?? 0) - (items?.length ?? 0);
  const isFirst = search.before === undefined;
  const older = letters.data?.next_before ?? undefined;
  return (
    <>
      <PageHeader
        title="Dead letters"
        actions={<Segments label="Which" value={search.show ?? "waiting"} onChange={(next) => go({ show: next === "all" ? "all" : undefined })} options={[{ value: "waiting", label: "Waiting" }, { value: "all", label: "All" }]} />}
      >
        Events that couldn't be applied to the history. The jobs themselves aren't affected: the queue sets the history right within seconds.
      </PageHeader>
      {letters.isError && !letters.data && <ErrorState error={letters.error} onRetry={() => void letters.refetch()} />}
      {letters.isPending && <div className="flex flex-col gap-3">{[1, 2].map((each) => <Skeleton key={each} className="h-32 rounded-lg" />)}</div>}
      {items?.length === 0 && (
        <div className="rounded-lg border border-line bg-surface">
          <EmptyState
            icon={MailCheck}
            title={isFirst ? "No dead letters, and that is good" : "No older ones"}
            action={replayed > 0 ? <Button onClick={() => go({ ...search, show: "all" })}>Show {count(replayed, "replayed one")}</Button> : undefined}
          >
            Every event {isFirst ? "" : "before these "}could be applied to the history. One that can't, because it is damaged or of a newer version, is kept here with the reason instead of being lost.
          </EmptyState>
        </div>
      )}
      {items && items.length > 0 && (
        <ul aria-label="Dead letters" className="flex flex-col gap-3">
          {items.map((letter) => <li key={letter.id}><LetterCard letter={letter} onReplay={() => setAsking(letter)} /></li>)}
        </ul>
      )}
      <div className="mt-4 flex justify-between">
        {isFirst ? <span /> : <Button onClick={() => go({ show: search.show })}>Newest</Button>}
        {older !== undefined && <Button onClick={() => go({ ...search, before: older })}>Older</Button>}
      </div>
      {asking && (
        <ConfirmDialog
          open
          onOpenChange={() => setAsking(null)}
          title={`Replay the letter ${asking.id}?`}
          description="The event is applied to the history anew, as after an upgrade of the server. Applying one twice does nothing more."
          confirm="Replay it"
          danger={false}
          onConfirm={() => replay(asking)}
        />
      )}
    </>
  );
}

function LetterCard({ letter, onReplay }: { letter: Letter; onReplay: () => void }) {
  const refused = useRefusal("admin");
  const { text, isBytes } = readable(letter.body);
  return (
    <Panel
      title={
        <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <span>Letter {letter.id}</span>
          {letter.replayed_at && <Badge tone="green">Replayed</Badge>}
          <span className="text-sm font-normal text-muted"><Time at={letter.at} /> · {letter.deliveries === 1 ? "tried once" : `tried ${letter.deliveries} times`}</span>
          {letter.job_id && <Link to="/jobs/$id" params={{ id: letter.job_id }} title={letter.job_id} className="font-mono text-sm font-normal text-accent hover:underline">{shortId(letter.job_id)}</Link>}
        </span>
      }
      actions={letter.replayed_at ? <span className="text-sm text-muted">kept a week from <Time at={letter.replayed_at} /></span> : <Button size="small" icon={RotateCcw} refused={refused} onClick={onReplay} aria-label={`Replay letter ${letter.id}`}>Replay</Button>}
    >
      <p className="mb-3 break-words text-red"><bdi>{letter.reason}</bdi></p>
      <details>
        <summary className="rounded text-muted hover:text-ink">The event{isBytes && ", as far as its bytes can be read"}</summary>
        <CodeBlock code={text} label="Event" wrap className="mt-2" />
      </details>
    </Panel>
  );
}
