import { useState } from "react";
import { ChevronRight, CircleX } from "lucide-react";
import type { Schemas } from "@/api/client";
import { Traceback } from "@/components/Code";
import { Copy } from "@/components/Copy";
import { Segments } from "@/components/Tabs";
import { cx } from "@/lib/cx";
import { count } from "@/lib/format";
import { parseTraceback, runs, shortPath, type Frame, type Raised } from "./traceback";

const MESSAGE = 2000;

/** What a job, or an attempt, died of. */
export function Failure({ error, reason, note }: { error: Schemas["ErrorView"]; reason?: string | null; note?: string }) {
  const [form, setForm] = useState<"read" | "text">("read");
  const chain = error.traceback ? parseTraceback(error.traceback) : null;
  return (
    <section aria-label="Error" className="min-w-0 overflow-hidden rounded-lg border border-line bg-surface">
      <div className="flex items-start gap-3 border-b border-line bg-red-soft px-4 py-3 text-red">
        <CircleX className="mt-0.5 size-4 shrink-0" aria-hidden />
        <div className="min-w-0 flex-1">
          <h2 className="font-semibold break-words">
            <bdi title={error.qualified_name ?? undefined}>{error.type}</bdi>
            {reason && reason !== "error" && <span className="ml-2 text-sm font-normal">{reasonInWords(reason)}</span>}
          </h2>
          <LongText text={error.message} />
          {note && <p className="mt-1 text-sm">{note}</p>}
        </div>
        <Copy text={error.traceback ?? `${error.type}: ${error.message}`} label={error.traceback ? "Copy traceback" : "Copy error"} className="size-7 text-red hover:text-red" />
      </div>
      {chain && (
        <div className="flex items-center justify-between gap-2 px-4 pt-3">
          <h3 className="text-sm font-medium text-muted">{chain.length > 1 ? "Traceback, the last error first" : "Traceback"}</h3>
          <Segments label="Traceback as" value={form} onChange={setForm} options={[{ value: "read", label: "Frames" }, { value: "text", label: "Text" }]} className="h-7" />
        </div>
      )}
      {chain && form === "read" && (
        <ol className="flex flex-col gap-4 p-4">
          {[...chain].reverse().map((raised, index, all) => <RaisedView key={index} raised={raised} isFirst={index === 0} linkFrom={all[index - 1]?.link ?? null} />)}
        </ol>
      )}
      {error.traceback && (!chain || form === "text") && <Traceback text={error.traceback} className={cx("rounded-none border-0", chain && "mt-1")} />}
    </section>
  );
}

function RaisedView({ raised, isFirst, linkFrom }: { raised: Raised; isFirst: boolean; linkFrom: Raised["link"] }) {
  const groups = runs(raised.frames);
  const hasOwn = groups.some((group) => !group.isLibrary);
  return (
    <li className="min-w-0">
      {!isFirst && (
        <p className="mb-1.5 text-sm break-words">
          <span className="text-muted">{linkFrom === "cause" ? "Caused by" : "Raised while this was handled"} </span>
          <LongText text={raised.message} className="font-medium text-red" />
        </p>
      )}
      {isFirst && raised.message.includes("\n") && <LongText text={raised.message} className="mb-1.5 block text-sm text-red" />}
      <ol className="flex flex-col gap-1">
        {groups.map((group, index) =>
          group.isLibrary && hasOwn ? (
            <LibraryFrames key={index} frames={group.frames} />
          ) : (
            group.frames.map((frame, place) => <FrameView key={`${index}-${place}`} frame={frame} strong />)
          ),
        )}
      </ol>
    </li>
  );
}

function LibraryFrames({ frames }: { frames: readonly Frame[] }) {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="flex items-center gap-1 rounded px-1 text-sm text-muted hover:bg-hover hover:text-ink">
        <ChevronRight className={cx("size-3.5 transition-transform", open && "rotate-90")} aria-hidden />
        {count(frames.length, "frame")} of libraries
      </button>
      {open && (
        <ol className="mt-1 flex flex-col gap-1">
          {frames.map((frame, index) => <FrameView key={index} frame={frame} />)}
        </ol>
      )}
    </li>
  );
}

function FrameView({ frame, strong = false }: { frame: Frame; strong?: boolean }) {
  return (
    <li className={cx("min-w-0 overflow-hidden rounded-md border border-line", strong ? "border-l-2 border-l-accent" : "opacity-90")}>
      <div className={cx("flex flex-wrap items-baseline gap-x-2 px-3 py-1 text-sm", strong ? "bg-hover" : "text-muted")}>
        <bdi className="font-mono font-medium break-all">{frame.name || "<module>"}</bdi>
        <span className="text-muted">in</span>
        <bdi className="min-w-0 font-mono text-xs break-all text-muted" title={frame.file}>
          {shortPath(frame.file)}:{frame.line}
        </bdi>
      </div>
      {frame.code.length > 0 && (
        <pre tabIndex={0} aria-label={`Source of ${frame.name}`} className="overflow-x-auto px-3 py-1.5 font-mono text-sm">
          {frame.code.map((line, index) => <div key={index} className={/^\s*[\^~]+\s*$/.test(line) ? "text-red" : ""}>{line || " "}</div>)}
        </pre>
      )}
    </li>
  );
}

function LongText({ text, className }: { text: string; className?: string }) {
  const [limit, setLimit] = useState(MESSAGE);
  return (
    <span className={className}>
      <bdi className="break-words whitespace-pre-wrap">{text.slice(0, limit)}</bdi>
      {text.length > limit && (
        <button type="button" onClick={() => setLimit(limit + 20 * MESSAGE)} className="ml-1 rounded underline">
          … show more
        </button>
      )}
    </span>
  );
}

/** Why it ended, as people say it. */
export function reasonInWords(reason: string): string {
  const words: Record<string, string> = {
    timeout: "it took longer than its timeout",
    fail: "it declared itself failed: no retry",
    max_deliveries: "its workers died of it too often",
    bad_payload: "its arguments don't fit the function",
    bad_result: "its result can't be kept",
    expired: "it expired before it began",
    queue_data_lost: "the queue lost it",
  };
  return words[reason] ?? reason;
}
