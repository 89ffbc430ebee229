import type { ReactNode } from "react";
import { Link } from "@tanstack/react-router";
import { ChevronRight, CircleAlert, CircleCheck, TriangleAlert } from "lucide-react";
import { count, rate } from "@/lib/format";
import { cx } from "@/lib/cx";
import { judge, type Finding, type Known } from "./verdict";

/** All is well, or what isn't. */
export function Verdict({ known }: { known: Known }) {
  const findings = judge(known);
  const bad = findings.some((each) => each.severity === "bad");
  const well = findings.length === 0;
  const Icon = well ? CircleCheck : bad ? CircleAlert : TriangleAlert;
  return (
    <section
      aria-label="Verdict"
      data-verdict={well ? "well" : bad ? "bad" : "odd"}
      className={cx("rounded-lg border border-line bg-surface", bad && "border-red/40", !bad && !well && "border-amber/40")}
    >
      <div className="flex min-h-16 items-center gap-3 px-4 py-3">
        <span className={cx("flex size-9 shrink-0 items-center justify-center rounded-full", well ? "bg-green-soft text-green" : bad ? "bg-red-soft text-red" : "bg-amber-soft text-amber")}>
          <Icon className="size-5" aria-hidden />
        </span>
        <div className="min-w-0">
          <h2 className="text-base font-semibold">{well ? "All is well now" : bad ? "Something is wrong" : "Worth a look"}</h2>
          <p className="text-muted">{summary(known)}</p>
        </div>
      </div>
      {!well && (
        <ul className="border-t border-line">
          {findings.map((finding) => (
            <li key={finding.text} className="border-b border-line last:border-0">
              <FindingLink finding={finding}>
                <span aria-hidden className={cx("size-2 shrink-0 rounded-full", finding.severity === "bad" ? "bg-red" : "bg-amber")} />
                <bdi className="min-w-0 flex-1 break-words">{finding.text}</bdi>
                <ChevronRight className="size-4 shrink-0 text-faint" aria-hidden />
              </FindingLink>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function summary({ stats, workers }: Known): string {
  const parts = [
    stats && `${rate(stats.overall.per_second)} finished, ${stats.overall.failed === 0 ? "none" : count(stats.overall.failed, "job")} failed in the last 15 minutes`,
    workers && (workers.items.length === 0 ? "no worker" : count(workers.items.length, "worker")),
  ];
  return parts.filter(Boolean).join(" · ");
}

function FindingLink({ finding: { link }, children }: { finding: Finding; children: ReactNode }) {
  const className = "flex min-h-10 items-center gap-3 px-4 py-2 pl-8 hover:bg-hover";
  if (link === "ready") return <a href="/api/v1/ready" className={className}>{children}</a>;
  if (typeof link === "string") return <Link to={`/${link}`} className={className}>{children}</Link>;
  return (
    <Link to="/jobs" search={{ status: ["failed"], function: link.failedOf ? [link.failedOf] : undefined }} className={className}>
      {children}
    </Link>
  );
}
