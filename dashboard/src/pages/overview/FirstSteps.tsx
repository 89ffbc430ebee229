import { Rocket } from "lucide-react";
import { CodeBlock } from "@/components/Code";
import { EmptyState } from "@/components/States";

const SERVICE = `# service.py
import conduit

worker = conduit.Worker("orders")

@worker.task(retries=3)
async def charge(order_id: str, cents: int) -> str:
    return f"{order_id}: {cents / 100:.2f}"`;

const COMMANDS = `conduit run service.py
conduit submit charge --args '["A-1", 4200]' --wait`;

/** What stands here before there is anything to see. */
export function FirstSteps() {
  return (
    <div className="rounded-lg border border-line bg-surface">
      <EmptyState icon={Rocket} title="Nothing has run yet" className="pb-6">
        This server is ready. Start a worker on the same queue, submit a job, and watch it here: this page follows by itself.
      </EmptyState>
      <div className="mx-auto grid max-w-2xl gap-3 px-4 pb-8">
        <CodeBlock label="A service" code={SERVICE} />
        <CodeBlock label="Commands" code={COMMANDS} />
      </div>
    </div>
  );
}
