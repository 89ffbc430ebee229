import { reconnect, useConnection } from "@/live/live";
import type { State } from "@/live/connection";
import { Tooltip } from "@/components/Tooltip";
import { cx } from "@/lib/cx";

const LOOKS: Record<State, { label: string; dot: string; help: string }> = {
  connecting: { label: "Connecting", dot: "bg-gray", help: "Live updates are about to come" },
  live: { label: "Live", dot: "bg-green", help: "What you see is kept up to date as it changes" },
  lost: { label: "Reconnecting", dot: "bg-amber animate-pulse", help: "No live updates: what you see is asked for every 5 seconds. Press to try now" },
};

/** Whether live updates come. Always there, so that nobody trusts an old page. */
export function ConnectionBadge() {
  const state = useConnection();
  const { label, dot, help } = LOOKS[state];
  return (
    <Tooltip text={help}>
      <button
        type="button"
        data-connection={state}
        onClick={() => state === "lost" && reconnect()}
        className={cx("inline-flex h-8 items-center gap-2 rounded-md px-2 text-sm font-medium text-muted hover:bg-hover", state === "lost" && "bg-amber-soft text-amber")}
      >
        <span className={cx("size-2 shrink-0 rounded-full", dot)} aria-hidden />
        <span role="status" className={cx(state === "live" && "max-sm:sr-only")}>{label}</span>
      </button>
    </Tooltip>
  );
}
