import { useState } from "react";
import { ChevronRight } from "lucide-react";
import { cx } from "@/lib/cx";
import { number } from "@/lib/format";
import { ExactNumber, stringify } from "@/lib/json";
import { Copy } from "./Copy";

/** How many members, and characters of a text, are shown at first and added by "show more". */
const MEMBERS = 100;
const CHARACTERS = 2000;

/**
 * JSON as a tree. Only what is open is drawn, a part at a time, so neither size nor depth matters;
 * whatever is in it is text, never HTML.
 */
export function JsonView({ value, openDepth = 2, label = "JSON", className }: { value: unknown; openDepth?: number; label?: string; className?: string }) {
  return (
    <div className={cx("group relative rounded-lg border border-line bg-surface", className)}>
      <div role="region" aria-label={label} tabIndex={0} className="max-h-[32rem] overflow-auto p-3 pr-10 font-mono text-sm leading-6">
        <Node value={value} depth={0} openDepth={openDepth} />
      </div>
      <div className="absolute top-2 right-2">
        <Copy text={() => stringify(value, 2)} label={`Copy ${label}`} />
      </div>
    </div>
  );
}

function Node({ name, value, depth, openDepth }: { name?: string; value: unknown; depth: number; openDepth: number }) {
  if (typeof value !== "object" || value === null || value instanceof ExactNumber) {
    return (
      <div className="pl-4">
        <Name name={name} />
        <Scalar value={value} />
      </div>
    );
  }
  return <Branch name={name} value={value} depth={depth} openDepth={openDepth} />;
}

function Branch({ name, value, depth, openDepth }: { name?: string; value: object; depth: number; openDepth: number }) {
  const isList = Array.isArray(value);
  const keys = isList ? null : Object.keys(value);
  const size = keys ? keys.length : (value as unknown[]).length;
  const [open, setOpen] = useState(depth < openDepth && size <= MEMBERS);
  const [limit, setLimit] = useState(MEMBERS);
  const [first, last] = isList ? ["[", "]"] : ["{", "}"];
  if (size === 0) {
    return (
      <div className="pl-4">
        <Name name={name} />
        {first}
        {last}
      </div>
    );
  }
  const shown = Math.min(limit, size);
  const members = Array.from({ length: open ? shown : 0 }, (_, index) => {
    const key = keys ? keys[index] ?? "" : String(index);
    return [key, (value as Record<string, unknown>)[key]] as const;
  });
  return (
    <div>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="inline-flex max-w-full items-center rounded text-left hover:bg-hover">
        <ChevronRight className={cx("size-4 shrink-0 text-faint transition-transform", open && "rotate-90")} aria-hidden />
        <Name name={name} />
        {open ? first : <span className="shrink-0 whitespace-nowrap">{first}<span className="text-faint"> {number(size)} {isList ? (size === 1 ? "item" : "items") : size === 1 ? "key" : "keys"} </span>{last}</span>}
      </button>
      {open && (
        <>
          {/* Deep down the indent stops growing, so that the text stays on the screen. */}
          <div className={cx("border-l border-line", depth < 24 ? "ml-2 pl-1.5" : "")}>
            {members.map(([key, member]) => (
              <Node key={key} name={key} value={member} depth={depth + 1} openDepth={openDepth} />
            ))}
            {shown < size && (
              <button type="button" onClick={() => setLimit(limit + 10 * MEMBERS)} className="ml-4 rounded text-accent hover:underline">
                Show more of {number(size)}
              </button>
            )}
          </div>
          <div className="pl-4">{last}</div>
        </>
      )}
    </div>
  );
}

function Name({ name }: { name?: string | undefined }) {
  if (name === undefined) return null;
  return (
    <>
      <bdi className="text-violet break-all">{name.length > 200 ? `${name.slice(0, 200)}…` : name}</bdi>
      <span className="mr-1.5 text-faint">:</span>
    </>
  );
}

function Scalar({ value }: { value: unknown }) {
  const [limit, setLimit] = useState(CHARACTERS);
  if (typeof value === "string") {
    return (
      <>
        <bdi className="break-all whitespace-pre-wrap text-green">"{value.slice(0, limit)}{value.length <= limit && '"'}</bdi>
        {value.length > limit && (
          <button type="button" onClick={() => setLimit(limit + 20 * CHARACTERS)} className="ml-1 rounded text-accent hover:underline">
            … show more of {number(value.length)} characters
          </button>
        )}
      </>
    );
  }
  return <span className={typeof value === "number" || value instanceof ExactNumber ? "break-all text-blue" : "text-amber"}>{String(value)}</span>;
}
