import type { JobStatus } from "@/api/client";
import { STATUS_NAMES } from "@/components/Badge";
import { text, texts } from "@/lib/search";

/** The filters of the list, as they stand in the address. */
export interface JobsSearch {
  q?: string | undefined;
  status?: JobStatus[] | undefined;
  function?: string[] | undefined;
  queue?: string[] | undefined;
  worker_id?: string[] | undefined;
}

export function validateJobs(search: Record<string, unknown>): JobsSearch {
  return {
    q: text(search.q),
    status: texts(search.status, STATUS_NAMES),
    function: texts(search.function),
    queue: texts(search.queue),
    worker_id: texts(search.worker_id),
  };
}
