import type { components } from "./schema";

export type Problem = components["schemas"]["Problem"];

/** Why a request failed, with what people can do about it. */
export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    /** What happened, in a few words. */
    readonly title: string,
    /** What exactly, in a sentence. */
    readonly detail: string,
    /** The answer's status; 0 where there was none. */
    readonly status: number,
    readonly problem: Problem | null = null,
  ) {
    super(detail ? `${title}: ${detail}` : title);
  }

  /** What kind of problem it is, as the server names it: `job-state`, `queue-unavailable`. */
  get kind(): string {
    return this.problem?.type.replace("urn:conduit:", "") ?? "";
  }

  /** The server couldn't be reached, or can't do this at present: the same may work soon. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 503 || this.status === 502 || this.status === 504;
  }

  /** What to do about it. */
  get advice(): string {
    if (this.status === 0) return "Is the server running, and is the network up? It is tried again by itself.";
    switch (this.kind) {
      case "queue-unavailable":
        return "Nothing was changed. Check the queue's server; it is tried again by itself.";
      case "database-unavailable":
        return "Check the history's database; it is tried again by itself.";
      case "submit-unknown":
        return "The job may have been kept: look for it in the list before you submit it again.";
      case "job-not-found":
        return "It may have been deleted, or finished so long ago that it isn't kept any more.";
    }
    switch (this.status) {
      case 401:
        return "Sign in again.";
      case 403:
        return "Your key's role doesn't allow this. Ask an administrator, or sign in with another key.";
      case 404:
        return "It may have been removed, or its address mistyped.";
      case 409:
        return "Its state has changed meanwhile. Look at it again.";
      case 413:
        return "Send less.";
      case 422:
        return "Correct what is named above.";
    }
    const id = this.problem?.request_id;
    return id ? `The server's log has more under the request ${id}.` : "Try again; the server's log has more.";
  }
}

/** The error that an answer tells of. */
export function fromAnswer(status: number, body: unknown): ApiError {
  if (isProblem(body)) return new ApiError(body.title, body.detail, status, body);
  return new ApiError(`The server answered ${status}`, "its answer isn't one of Conduit's", status);
}

/** Any error as one of ours. A fetch that fails has had no answer. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof TypeError) return new ApiError("The server can't be reached", "", 0);
  return new ApiError("Something went wrong", error instanceof Error ? error.message : String(error), -1);
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "title" in body && "detail" in body && "type" in body;
}
