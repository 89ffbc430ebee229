import { useState, type ReactNode } from "react";
import { Dialog as Radix } from "radix-ui";
import { X } from "lucide-react";
import { cx } from "@/lib/cx";
import { asApiError } from "@/api/errors";
import { Button } from "./Button";

interface Props {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  description?: ReactNode;
  children?: ReactNode;
  /** Buttons, on the right. */
  footer?: ReactNode;
  className?: string;
}

/** A dialog over the page: focus stays in it, Escape closes it. */
export function Dialog({ open, onOpenChange, title, description, children, footer, className }: Props) {
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-black/40" />
        <Radix.Content
          {...(description ? {} : { "aria-describedby": undefined })}
          className={cx(
            "animate-appear fixed top-[12vh] left-1/2 z-40 flex max-h-[80dvh] w-[32rem] max-w-[calc(100vw-2rem)] -translate-x-1/2 flex-col rounded-xl border border-line bg-raised text-ink shadow-float",
            className,
          )}
        >
          <div className="flex items-start gap-4 px-5 pt-4">
            <div className="min-w-0 flex-1">
              <Radix.Title className="text-base font-semibold">{title}</Radix.Title>
              {description && <Radix.Description className="mt-1 text-muted">{description}</Radix.Description>}
            </div>
            <Radix.Close aria-label="Close" className="-mr-1 rounded p-1 text-muted hover:bg-hover hover:text-ink">
              <X className="size-4" aria-hidden />
            </Radix.Close>
          </div>
          <div className="min-h-0 overflow-auto px-5 py-4">{children}</div>
          {footer && <div className="flex justify-end gap-2 border-t border-line px-5 py-3">{footer}</div>}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/**
 * Asks before something that can't be undone. `onConfirm` may return a promise: the dialog waits for
 * it, closes when it is kept, and shows the error when it isn't.
 */
export function ConfirmDialog({ confirm, danger = true, onConfirm, children, ...rest }: Omit<Props, "footer"> & {
  /** What the button says: the act itself, with its count. `Delete 3 jobs`. */
  confirm: string;
  danger?: boolean;
  onConfirm: () => Promise<unknown> | unknown;
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const close = (open: boolean) => {
    if (busy) return;
    setError(null);
    rest.onOpenChange(open);
  };
  const act = async () => {
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      rest.onOpenChange(false);
    } catch (thrown) {
      setError(thrown);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog
      {...rest}
      onOpenChange={close}
      footer={
        <>
          <Button onClick={() => close(false)} disabled={busy}>Keep as it is</Button>
          <Button kind={danger ? "danger" : "primary"} busy={busy} onClick={() => void act()}>{confirm}</Button>
        </>
      }
    >
      {children}
      {error !== null && <p role="alert" className="mt-3 rounded-md bg-red-soft px-3 py-2 text-red">{asApiError(error).message}</p>}
    </Dialog>
  );
}
