import type { ReactElement, ReactNode } from "react";
import { Tooltip as Radix } from "radix-ui";

/** A hint on hover and focus. What it says must not be needed: touch screens don't show it. */
export function Tooltip({ text, keys, children }: { text: ReactNode; keys?: ReactNode; children: ReactElement }) {
  return (
    <Radix.Root>
      <Radix.Trigger asChild>{children}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          sideOffset={6}
          collisionPadding={8}
          className="animate-appear z-50 flex max-w-80 items-center gap-2 rounded-md border border-line bg-raised px-2 py-1 text-sm text-ink shadow-float"
        >
          {text}
          {keys && <Keys keys={keys} />}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** Keys as they are pressed: `g j` becomes two caps. */
export function Keys({ keys }: { keys: ReactNode }) {
  const caps = typeof keys === "string" ? keys.split(" ") : [keys];
  return (
    <span className="inline-flex gap-1">
      {caps.map((cap, index) => (
        <kbd key={index} className="min-w-5 rounded border border-line bg-hover px-1 text-center font-sans text-xs text-muted">
          {cap}
        </kbd>
      ))}
    </span>
  );
}
