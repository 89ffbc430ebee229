import { useEffect, useState } from "react";
import { CloudOff } from "lucide-react";
import { Button } from "@/components/Button";
import { Time } from "@/components/Time";
import { now } from "@/lib/clock";
import { reconnect, useConnection } from "@/live/live";

/** Shorter absences, as when a proxy is reloaded, are for the badge alone. */
const PATIENCE = 4000;

/** Says that what is shown may be old, over the page, so that nothing on it moves. */
export function LostNotice() {
  const lost = useConnection() === "lost";
  const [since, setSince] = useState<number | null>(null);
  useEffect(() => {
    if (!lost) return setSince(null);
    const began = now();
    const timer = setTimeout(() => setSince(began), PATIENCE);
    return () => clearTimeout(timer);
  }, [lost]);
  if (since === null) return null;
  return (
    <div className="pointer-events-none fixed inset-x-0 bottom-4 z-30 flex justify-center px-4">
      <div role="alert" className="animate-appear pointer-events-auto flex items-center gap-3 rounded-lg border border-line bg-raised py-2 pr-2 pl-3 shadow-float">
        <CloudOff className="size-4 shrink-0 text-amber" aria-hidden />
        <span>
          Live updates stopped <Time at={since} />: what you see may be old.
        </span>
        <Button size="small" onClick={reconnect}>Try now</Button>
      </div>
    </div>
  );
}
