import { Link, useNavigate } from "@tanstack/react-router";
import type { Schemas } from "@/api/client";
import { shortId } from "@/lib/format";
import { StatusBadge, isHeld } from "./Badge";
import { Cell, Head, HeadCell, Row, SkeletonRows, Table } from "./Table";
import { Duration, Time } from "./Time";

interface Props {
  /** What they are, for those who can't see it. */
  label: string;
  jobs: readonly Schemas["JobSummary"][] | undefined;
  /** How many rows to keep room for while they are loaded. */
  rows?: number;
  /** What says that there are none. */
  empty: string;
  /** Whether the function is told; not where all are of the same. */
  functions?: boolean;
}

/** A few jobs, to be opened. */
export function RecentJobs({ label, jobs, rows = 5, empty, functions = false }: Props) {
  const navigate = useNavigate();
  if (jobs?.length === 0) return <p className="px-4 pb-4 text-muted">{empty}</p>;
  return (
    <Table label={label} className="rounded-t-none border-0 border-t">
      <Head>
        <HeadCell className="w-32">Status</HeadCell>
        <HeadCell>Job</HeadCell>
        {functions && <HeadCell>Function</HeadCell>}
        <HeadCell className="max-sm:hidden">Submitted</HeadCell>
        <HeadCell numeric>Ran</HeadCell>
      </Head>
      <tbody>
        {!jobs && <SkeletonRows rows={rows} columns={functions ? 5 : 4} />}
        {jobs?.map((job) => (
          <Row key={job.id} onOpen={() => void navigate({ to: "/jobs/$id", params: { id: job.id } })}>
            <Cell><StatusBadge status={job.status} cancelling={job.cancel_requested} held={isHeld(job)} /></Cell>
            <Cell className="w-full max-w-0 min-w-36 truncate">
              <Link to="/jobs/$id" params={{ id: job.id }} className="font-mono text-sm hover:underline" title={job.id}>{shortId(job.id)}</Link>
              <bdi className="ml-3 text-sm text-muted">{about(job)}</bdi>
            </Cell>
            {functions && <Cell className="whitespace-nowrap"><bdi>{job.function}</bdi></Cell>}
            <Cell className="text-muted max-sm:hidden"><Time at={job.submitted_at} /></Cell>
            <Cell numeric>{job.started_at ? <Duration from={job.started_at} until={job.status === "running" ? null : (job.finished_at ?? job.started_at)} /> : <span className="text-faint">–</span>}</Cell>
          </Row>
        ))}
      </tbody>
    </Table>
  );
}

/** What went wrong, or how far it is, or what it was given. */
function about(job: Schemas["JobSummary"]): string {
  if (job.error) return `${job.error.type}: ${job.error.message}`.slice(0, 200);
  if (job.status === "running" && job.progress_message) return job.progress_message;
  return job.args_preview === "{}" ? "" : job.args_preview;
}
