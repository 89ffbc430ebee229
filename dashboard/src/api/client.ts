import createClient, { type MaybeOptionalInit } from "openapi-fetch";
import type { PathsWithMethod } from "openapi-typescript-helpers";
import { queryOptions, type QueryClient } from "@tanstack/react-query";
import { noteServerTime } from "@/lib/clock";
import { stringify } from "@/lib/json";
import { Store } from "@/lib/store";
import { ApiError, asApiError, fromAnswer } from "./errors";
import { readJob } from "./payloads";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type JobStatus = Schemas["JobStatus"];

/** The server's API: `call(api.POST("/api/v1/queues/{name}/pause", { params: { path: { name } } }))`. */
export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? "",
  querySerializer: { array: { style: "form", explode: true } },
  bodySerializer: (body) => stringify(body),
});

/** Whether the server has refused us for want of a session. The layout then leads to the sign-in. */
export const signedOut = new Store(false);

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** What a request answers. Throws ApiError. */
export async function call<T>(request: Promise<Answer<T>>): Promise<NonNullable<T>> {
  let answer: Answer<T>;
  try {
    answer = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw asApiError(error);
  }
  noteServerTime(answer.response.headers.get("date"));
  if (answer.response.ok) return answer.data as NonNullable<T>;
  if (answer.response.status === 401) signedOut.set(true);
  throw fromAnswer(answer.response.status, answer.error);
}

type Get<P extends PathsWithMethod<paths, "get">> = MaybeOptionalInit<paths[P], "get">;
type Init<P extends PathsWithMethod<paths, "get">> =
  undefined extends Get<P> ? [init?: Get<P>] : [init: Get<P>];
type Json<P extends PathsWithMethod<paths, "get">> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer T } } } };
}
  ? T
  : never;

/**
 * Options for `useQuery`: `useQuery(get("/api/v1/jobs/{job_id}", { params: { path: { job_id } } }))`.
 *
 * The key is `[path, init]`, by which `live/rules.ts` knows what the answer depends on: it is
 * fetched anew when that has changed, with nothing for pages to do.
 */
export function get<P extends PathsWithMethod<paths, "get">>(path: P, ...[init]: Init<P>) {
  return queryOptions({
    queryKey: [path, init ?? {}] as const,
    queryFn: async ({ signal }): Promise<Json<P>> => {
      // The generics of openapi-fetch can't be followed through a wrapper; `Json` says the same.
      const ask = api.GET as <T>(path: P, init: object) => Promise<Answer<T>>;
      if (path !== "/api/v1/jobs/{job_id}") return call(ask<Json<P>>(path, { ...init, signal }));
      return readJob(await call(ask<string>(path, { ...init, signal, parseAs: "text" }))) as Json<P>;
    },
  });
}

/** Whether a failed request is worth another try by itself. */
export function retry(failures: number, error: Error): boolean {
  return error instanceof ApiError && error.isPassing && failures < 2;
}

/** Fetch anew all that is shown of these paths, or everything. Call it after an action. */
export function refresh(client: QueryClient, ...pathsToRefresh: string[]): void {
  void client.invalidateQueries({
    predicate: ({ queryKey }) =>
      pathsToRefresh.length === 0 || pathsToRefresh.some((path) => String(queryKey[0]).startsWith(path)),
  });
}
