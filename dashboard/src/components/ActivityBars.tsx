import { cx } from "@/lib/cx";

/** How many ended over time, bucket by bucket: those that failed stand red on the others. */
export function ActivityBars({ completed, failed, label, className }: { completed: readonly number[]; failed: readonly number[]; label: string; className?: string }) {
  const most = Math.max(1, ...completed.map((many, index) => many + (failed[index] ?? 0)));
  const height = (many: number) => (many === 0 ? 0 : Math.max(1.5, (many / most) * 28));
  return (
    <svg role="img" aria-label={label} viewBox={`0 0 ${Math.max(1, completed.length) * 4} 30`} preserveAspectRatio="none" className={cx("h-6 w-28 shrink-0", className)}>
      <line x1="0" x2="100%" y1="29.5" y2="29.5" stroke="var(--line)" vectorEffect="non-scaling-stroke" />
      {completed.map((many, index) => {
        const good = height(many);
        const bad = height(failed[index] ?? 0);
        return (
          <g key={index}>
            {many > 0 && <rect x={index * 4} y={29 - good} width="3" height={good} fill="var(--accent)" />}
            {bad > 0 && <rect x={index * 4} y={29 - good - bad} width="3" height={bad} fill="var(--red)" />}
          </g>
        );
      })}
    </svg>
  );
}
