import { REACH, SPANS, type Span } from "@/lib/spans";
import { Segments } from "./Tabs";

/** How far back a page looks. Keep it in the address. */
export function SpanSwitch({ value, onChange }: { value: Span; onChange: (span: Span) => void }) {
  return (
    <Segments
      label="Span"
      value={value}
      onChange={onChange}
      options={SPANS.map((each) => ({ value: each, label: <span title={`The last ${REACH[each].words}`}>{each}</span> }))}
    />
  );
}
