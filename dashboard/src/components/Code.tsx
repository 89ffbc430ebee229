import { useState } from "react";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { Copy } from "./Copy";

const CHARACTERS = 20_000;

/** Code or a command, to be copied. */
export function CodeBlock({ code, label = "Code", wrap = false, className }: { code: string; label?: string; wrap?: boolean; className?: string }) {
  return (
    <div className={cx("relative rounded-lg border border-line bg-surface", className)}>
      <pre role="region" tabIndex={0} aria-label={label} className={cx("max-h-[32rem] overflow-auto p-3 pr-10 font-mono text-sm leading-6", wrap && "break-words whitespace-pre-wrap")}>
        <code>{code}</code>
      </pre>
      <div className="absolute top-2 right-2">
        <Copy text={code} label={`Copy ${label.toLowerCase()}`} />
      </div>
    </div>
  );
}

/** A Python traceback: frames of libraries step back, the error itself stands out. */
export function Traceback({ text, className }: { text: string; className?: string }) {
  const [whole, setWhole] = useState(false);
  // The end says what happened, so that is the part that is kept.
  const cut = !whole && text.length > CHARACTERS;
  const lines = (cut ? text.slice(-CHARACTERS) : text).trimEnd().split("\n");
  let library = false;
  return (
    <div className={cx("relative rounded-lg border border-line bg-surface", className)}>
      <div role="region" tabIndex={0} aria-label="Traceback" className="max-h-[40rem] overflow-auto py-3 pr-10 font-mono text-sm leading-6">
        {cut && (
          <button type="button" onClick={() => setWhole(true)} className="mx-3 mb-2 rounded text-accent hover:underline">
            Show all {number(text.length)} characters
          </button>
        )}
        {lines.map((line, index) => {
          const frame = /^\s*(?:\||\+)?\s*File "(.+)", line (\d+)/.exec(line);
          if (frame) library = /site-packages|[\\/]lib[\\/]python3|<frozen/.test(frame[1] ?? "");
          else if (/^\S/.test(line)) library = false;
          const isError = /^[\w.]+(?:Error|Exception|Exit|Interrupt|Warning|Group|Failed|Timeout)\b/.test(line) || index === lines.length - 1;
          return (
            <div
              key={index}
              dir="auto"
              className={cx(
                "px-3 break-words whitespace-pre-wrap",
                frame && !library && "bg-hover text-ink",
                frame && "mt-1",
                library && "text-faint",
                isError && !library && "font-semibold text-red",
              )}
            >
              {line || " "}
            </div>
          );
        })}
      </div>
      <div className="absolute top-2 right-2">
        <Copy text={text} label="Copy traceback" />
      </div>
    </div>
  );
}
