import { useQuery } from "@tanstack/react-query";
import { get } from "./client";

const RANKS = { read: 0, operate: 1, admin: 2 } as const;

/** What a role may: look, act, or also delete and replay. */
export type Role = keyof typeof RANKS;

/**
 * Why who is asking may not do what takes this role, for the button's `refused`; undefined if they
 * may. While it isn't known who they are they may try: the server decides.
 */
export function useRefusal(wanted: Role): string | undefined {
  const { data: session } = useQuery(get("/api/v1/session"));
  return refusal(session?.role, wanted);
}

/** The same, of a role by its name. */
export function refusal(role: string | undefined, wanted: Role): string | undefined {
  if (role === undefined || !(role in RANKS) || RANKS[role as Role] >= RANKS[wanted]) return undefined;
  return `This takes a key with the role ${wanted}; yours is ${role}`;
}
