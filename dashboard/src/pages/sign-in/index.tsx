import { useState } from "react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, call, get, signedOut } from "@/api/client";
import { asApiError } from "@/api/errors";
import { Logo } from "@/app/Logo";
import { useTitle } from "@/app/title";
import { Button } from "@/components/Button";
import { Field, Input } from "@/components/Field";
import { useStore } from "@/lib/store";

/** The door, where the server asks for keys. */
export default function SignIn() {
  useTitle("Sign in");
  const { next } = useSearch({ from: "/sign-in" });
  const [key, setKey] = useState("");
  const navigate = useNavigate();
  const client = useQueryClient();
  const refused = useStore(signedOut);
  const asked = useQuery({ ...get("/api/v1/session"), retry: false });
  // What was known before the server refused us isn't so any more.
  const session = refused ? undefined : asked.data;
  const enter = () => {
    client.clear();
    signedOut.set(false);
    void navigate({ href: isOurs(next) ? next : "/", replace: true });
  };
  const signIn = useMutation({ mutationFn: () => call(api.POST("/api/v1/session", { body: { key: key.trim() } })), onSuccess: enter });
  const failure = signIn.error && asApiError(signIn.error);
  return (
    <main className="flex min-h-dvh items-center justify-center p-4">
      <div className="w-full max-w-sm">
        <div className="mb-6 flex items-center gap-2.5">
          <Logo className="size-7" />
          <h1 className="text-lg font-semibold tracking-tight">Sign in to Conduit</h1>
        </div>
        {session ? (
          <div className="flex flex-col gap-4 rounded-xl border border-line bg-surface p-5">
            <p>{session.keys_required ? `You are signed in as ${session.name ?? session.role}.` : "This server asks nobody for a key."}</p>
            <Button kind="primary" onClick={enter}>To the dashboard</Button>
          </div>
        ) : (
          <form
            className="flex flex-col gap-4 rounded-xl border border-line bg-surface p-5"
            onSubmit={(event) => {
              event.preventDefault();
              signIn.mutate();
            }}
          >
            {/* Password managers keep keys by their name. */}
            <input type="text" name="username" autoComplete="username" defaultValue="Conduit" hidden readOnly />
            <Field
              label="API key"
              hint="One of those in the server's CONDUIT_API_KEYS. It isn't kept in the browser."
              error={failure && (failure.status === 401 ? "The server doesn't know this key." : `${failure.message}. ${failure.advice}`)}
            >
              <Input type="password" name="key" autoComplete="current-password" autoFocus required value={key} onChange={(event) => setKey(event.target.value)} />
            </Field>
            <Button kind="primary" type="submit" busy={signIn.isPending}>Sign in</Button>
          </form>
        )}
        {next && !session && <p className="mt-4 text-center text-sm text-muted">You come back to where you were.</p>}
      </div>
    </main>
  );
}

/** Only an address of our own may follow the sign-in. */
function isOurs(address: string | undefined): address is string {
  return address !== undefined && /^\/(?![/\\])/.test(address);
}
