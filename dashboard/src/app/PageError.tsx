import type { ErrorComponentProps } from "@tanstack/react-router";
import { useRouter } from "@tanstack/react-router";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { EmptyState } from "@/components/States";
import { TriangleAlert } from "lucide-react";

/** What stands in a page's place when it broke. The rest of the dashboard goes on. */
export function PageError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const text = error instanceof Error ? `${error.message}\n\n${error.stack ?? ""}` : String(error);
  const retry = () => {
    reset();
    void router.invalidate();
  };
  return (
    <div role="alert">
      <h1 className="sr-only">Error</h1>
      <EmptyState
        icon={TriangleAlert}
        title="This page broke"
        action={
          <div className="flex justify-center gap-2">
            <Button kind="primary" onClick={retry}>Try again</Button>
            <Button onClick={() => location.reload()}>Load the dashboard anew</Button>
          </div>
        }
      >
        It is a fault of the dashboard, not of your jobs. If it happens again, report it with the text below.
      </EmptyState>
      <CodeBlock label="Error" code={text} wrap className="mx-auto max-w-3xl" />
    </div>
  );
}

export function NotFound() {
  return (
    <main>
      <h1 className="sr-only">Not found</h1>
      <EmptyState title="There is no such page" action={<Button onClick={() => history.back()}>Back</Button>}>
        The address may be mistyped, or from another version of Conduit.
      </EmptyState>
    </main>
  );
}
