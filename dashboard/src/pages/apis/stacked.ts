import type { Schemas } from "@/api/client";
import type { Line } from "@/components/Chart";

type Bucket = Pick<Schemas["ApiBucketView"], "requests" | "statuses">;

/** Bars drawn on top of each other: what failed looks out above what didn't. */
export function stacked(buckets: readonly Bucket[]): Line[] {
  const many = (name: string) => buckets.map(({ statuses }) => statuses[name] ?? 0);
  const all = buckets.map(({ requests }) => requests);
  const refused = many("4xx");
  const failed = many("5xx");
  const unfailed = all.map((total, index) => total - (failed[index] ?? 0));
  const served = unfailed.map((total, index) => total - (refused[index] ?? 0));
  return [
    { label: "5xx", colour: "red", kind: "bars", values: all, told: failed },
    { label: "4xx", colour: "amber", kind: "bars", values: unfailed, told: refused },
    { label: "served", colour: "accent", kind: "bars", values: served },
  ];
}
