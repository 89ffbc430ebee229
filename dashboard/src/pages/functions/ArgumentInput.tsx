import { useId } from "react";
import { Input, Select, TextArea } from "@/components/Field";
import { cx } from "@/lib/cx";
import type { ArgumentField, FieldValue } from "./form";

interface Props {
  field: ArgumentField;
  value: FieldValue;
  onChange: (value: FieldValue) => void;
  fault: string | undefined;
}

/** A parameter's field, by what it takes. What isn't given has the function's own default. */
export function ArgumentInput({ field, value, onChange, fault }: Props) {
  const id = useId();
  const note = fault ?? (field.control === "json" && !isMany(field) && field.sample === "" ? "JSON: a text stands in quotes" : field.hint);
  const attributes = { id, "aria-describedby": note ? `${id}-note` : undefined, "aria-invalid": fault ? true : undefined, "aria-required": field.preset === undefined };
  return (
    <div className="flex flex-col gap-1">
      <div className="flex min-h-5 items-baseline gap-2">
        <label htmlFor={id} className="font-medium">
          <bdi>{field.kind === "var_positional" ? "*" : field.kind === "var_keyword" ? "**" : ""}{field.name}</bdi>
        </label>
        {field.preset === undefined && <span className="-ml-1 text-red" aria-hidden>*</span>}
        {field.annotation && <code className="min-w-0 truncate font-mono text-xs text-muted">{field.annotation}</code>}
        <span className="ml-auto flex shrink-0 gap-3 text-sm">
          {field.preset !== undefined && value.mode !== "preset" && <Mode onClick={() => onChange({ mode: "preset", text: "" })}>Use the default</Mode>}
          {field.nullable && field.control !== "choice" && field.control !== "boolean" && value.mode !== "none" && <Mode onClick={() => onChange({ mode: "none", text: "" })}>None</Mode>}
        </span>
      </div>
      <Control field={field} value={value} onChange={onChange} attributes={attributes} />
      {note && <p id={`${id}-note`} className={cx("text-sm break-words", fault ? "text-red" : "text-muted")}>{note}</p>}
    </div>
  );
}

function Mode({ onClick, children }: { onClick: () => void; children: string }) {
  return <button type="button" onClick={onClick} className="rounded text-accent hover:underline">{children}</button>;
}

function Control({ field, value, onChange, attributes }: Omit<Props, "fault"> & { attributes: object }) {
  const text = value.mode === "value" ? value.text : "";
  const placeholder = value.mode === "none" ? "None" : value.mode === "preset" ? preset(field) : undefined;
  const write = (event: { target: { value: string } }) => onChange({ mode: "value", text: event.target.value });
  switch (field.control) {
    case "boolean":
    case "choice": {
      const choices = field.control === "boolean" ? [true, false] : field.choices;
      const choose = (chosen: string) => onChange(chosen === "preset" || chosen === "none" ? { mode: chosen, text: "" } : { mode: "value", text: chosen.slice(1) });
      return (
        <Select value={value.mode === "value" ? `=${value.text}` : value.mode} onChange={(event) => choose(event.target.value)} {...attributes}>
          {field.preset === undefined ? <option value="=" disabled>Choose…</option> : <option value="preset">Default: {field.preset}</option>}
          {field.nullable && <option value="none">None</option>}
          {choices.map((each) => <option key={JSON.stringify(each)} value={`=${JSON.stringify(each)}`}>{String(each)}</option>)}
        </Select>
      );
    }
    case "json":
      return <TextArea spellCheck={false} rows={Math.min(14, Math.max(3, text.split("\n").length))} value={text} placeholder={placeholder} onChange={write} {...attributes} />;
    default:
      return <Input dir="auto" inputMode={field.control === "integer" ? "numeric" : field.control === "number" ? "decimal" : undefined} value={text} placeholder={placeholder} onChange={write} autoComplete="off" {...attributes} />;
  }
}

function preset(field: ArgumentField): string {
  return isMany(field) ? "none" : `default: ${field.preset ?? ""}`;
}

function isMany({ kind }: ArgumentField): boolean {
  return kind === "var_positional" || kind === "var_keyword";
}
