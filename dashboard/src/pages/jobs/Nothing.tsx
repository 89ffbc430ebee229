import { FilterX, Rocket } from "lucide-react";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { EmptyState } from "@/components/States";

const SERVICE = `import conduit

worker = conduit.Worker("hello")


@worker.task(retries=3)
async def hello(name: str) -> str:
    return f"Hello, {name}!"`;
const COMMANDS = `conduit run service.py
conduit submit hello --args '["world"]' --wait`;

/** No job has ever been submitted, or all were deleted. */
export function NoJobs() {
  return (
    <EmptyState icon={Rocket} title="No jobs yet">
      <p>A job is one call of a function of yours, run by a worker. It shows up here the moment it is submitted.</p>
      <div className="mx-auto mt-5 flex max-w-xl flex-col gap-3 text-left text-ink">
        <p className="text-muted">Put this into <code className="font-mono text-sm">service.py</code>:</p>
        <CodeBlock label="Service" code={SERVICE} />
        <p className="text-muted">Run it, and submit a job from a second terminal:</p>
        <CodeBlock label="Commands" code={COMMANDS} wrap />
      </div>
    </EmptyState>
  );
}

/** There are jobs, but none under these filters. */
export function NoneMatch({ onClear }: { onClear: () => void }) {
  return (
    <EmptyState icon={FilterX} title="No jobs match" action={<Button onClick={onClear}>Clear all filters</Button>}>
      Nothing is like this now. Jobs that come to match show up by themselves.
    </EmptyState>
  );
}
