import { Dialog } from "@/components/Dialog";
import { Keys } from "@/components/Tooltip";
import { shortcuts } from "@/keyboard/shortcuts";
import { useStore } from "@/lib/store";

/** All shortcuts that work on this page. */
export function KeyboardHelp({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const known = useStore(shortcuts);
  const groups = [...new Set(known.map((each) => each.group))];
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="Keyboard shortcuts">
      <div className="grid gap-x-8 gap-y-5 sm:grid-cols-2">
        {groups.map((group) => (
          <section key={group}>
            <h3 className="mb-1.5 text-sm font-semibold text-muted">{group}</h3>
            <ul className="flex flex-col gap-1.5">
              {known
                .filter((each) => each.group === group)
                .map((each) => (
                  <li key={each.keys} className="flex items-center justify-between gap-4">
                    {each.label}
                    <Keys keys={each.keys} />
                  </li>
                ))}
            </ul>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
