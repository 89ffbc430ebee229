import { useMemo } from "react";
import { Download } from "lucide-react";
import { IconButton } from "@/components/Button";
import { JsonView } from "@/components/JsonView";
import { Panel } from "@/components/Panel";
import { bytes } from "@/lib/format";
import { stringify } from "@/lib/json";
import { save } from "./save";

/** From so many characters on there is a download beside it. */
const MUCH = 2000;

/** A value that a job was given, or gave: as a tree, with its size, and as a file where it is large. */
export function Payload({ title, value, fileName, empty, openDepth = 2 }: { title: string; value: unknown; fileName: string; empty?: string; openDepth?: number }) {
  const text = useMemo(() => stringify(value), [value]);
  const isEmpty = empty !== undefined && (value === null || text === "{}");
  return (
    <Panel
      flush
      title={title}
      actions={
        text.length > MUCH && (
          <>
            <span className="text-sm text-muted">{bytes(text.length)}</span>
            <IconButton label={`Download ${title.toLowerCase()}`} icon={Download} className="size-7" onClick={() => save(`${fileName}.json`, text, "application/json")} />
          </>
        )
      }
    >
      {isEmpty ? <p className="px-4 pb-4 text-muted">{empty}</p> : <JsonView value={value} label={title} openDepth={openDepth} className="rounded-t-none border-x-0 border-b-0" />}
    </Panel>
  );
}
