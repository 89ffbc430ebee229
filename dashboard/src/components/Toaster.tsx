import { Toast as Radix } from "radix-ui";
import { CircleCheck, CircleX, Info, X } from "lucide-react";
import { asApiError } from "@/api/errors";
import { Store, useStore } from "@/lib/store";
import { cx } from "@/lib/cx";

interface Toast {
  id: number;
  title: string;
  detail?: string;
  tone: "green" | "red" | "blue";
}

const shown = new Store<readonly Toast[]>([]);
let lastId = 0;

/** Say something in passing: what an action came to. */
export function toast({ tone = "green", ...rest }: { title: string; detail?: string; tone?: Toast["tone"] }): void {
  lastId += 1;
  shown.set([...shown.get().slice(-3), { id: lastId, tone, ...rest }]);
}

/** Say that an action failed, why, and what to do. Fits `onError` of a mutation. */
export function toastError(error: unknown): void {
  const { title, detail, advice } = asApiError(error);
  toast({ tone: "red", title, detail: [sentence(detail), advice].filter(Boolean).join(" ") });
}

function sentence(text: string): string {
  return text && !/[.!?]$/.test(text) ? `${text[0]?.toUpperCase()}${text.slice(1)}.` : text;
}

const ICONS = { green: CircleCheck, red: CircleX, blue: Info };
const COLOURS = { green: "text-green", red: "text-red", blue: "text-blue" };

export function Toaster() {
  const toasts = useStore(shown);
  return (
    <Radix.Provider swipeDirection="right" label="Notice">
      {toasts.map(({ id, title, detail, tone }) => {
        const Icon = ICONS[tone];
        return (
          <Radix.Root
            key={id}
            duration={tone === "red" ? 12_000 : 5_000}
            onOpenChange={(open) => !open && shown.set(shown.get().filter((each) => each.id !== id))}
            className="animate-appear flex items-start gap-2.5 rounded-lg border border-line bg-raised p-3 text-ink shadow-float"
          >
            <Icon className={cx("mt-0.5 size-4 shrink-0", COLOURS[tone])} aria-hidden />
            <div className="min-w-0 flex-1">
              <Radix.Title className="font-medium">{title}</Radix.Title>
              {detail && <Radix.Description className="mt-0.5 text-sm break-words text-muted">{detail}</Radix.Description>}
            </div>
            <Radix.Close aria-label="Dismiss" className="rounded p-0.5 text-muted hover:text-ink">
              <X className="size-3.5" aria-hidden />
            </Radix.Close>
          </Radix.Root>
        );
      })}
      <Radix.Viewport className="fixed right-0 bottom-0 z-50 flex w-96 max-w-full flex-col gap-2 p-4 outline-none" />
    </Radix.Provider>
  );
}
