import { useState } from "react";
import { Bookmark, ChevronDown, Pencil, Plus, Trash2 } from "lucide-react";
import { Button } from "@/components/Button";
import { ConfirmDialog, Dialog } from "@/components/Dialog";
import { Field, Input } from "@/components/Field";
import { Menu, MenuCheck, MenuItem, MenuLabel, MenuLine } from "@/components/Menu";
import { toast } from "@/components/Toaster";
import { useStore } from "@/lib/store";
import type { JobsSearch } from "./search";
import { BUILT_IN, nameFault, savedViews, viewOf } from "./views";

type Asking = { what: "save" } | { what: "rename" | "delete"; name: string };

/** The menu of named lists. */
export function Views({ search, onOpen }: { search: JobsSearch; onOpen: (search: JobsSearch) => void }) {
  const saved = useStore(savedViews);
  const [asking, setAsking] = useState<Asking | null>(null);
  const current = viewOf(search, saved);
  const isOwn = current !== undefined && saved.includes(current);
  const close = () => setAsking(null);
  return (
    <>
      <Menu
        trigger={
          <Button icon={Bookmark} aria-label={`View: ${current?.name ?? "Unsaved"}`}>
            <bdi className="max-w-40 truncate">{current?.name ?? "Unsaved"}</bdi>
            <ChevronDown className="size-3.5 text-muted" aria-hidden />
          </Button>
        }
      >
        {BUILT_IN.map((view) => (
          <MenuCheck key={view.name} closes checked={view === current} onChange={() => onOpen(view.search)}>{view.name}</MenuCheck>
        ))}
        {saved.length > 0 && <MenuLine />}
        {saved.length > 0 && <MenuLabel>Yours</MenuLabel>}
        {saved.map((view) => (
          <MenuCheck key={view.name} closes checked={view === current} onChange={() => onOpen(view.search)}>
            <bdi className="max-w-64 truncate">{view.name}</bdi>
          </MenuCheck>
        ))}
        <MenuLine />
        {!current && <MenuItem icon={Plus} onSelect={() => setAsking({ what: "save" })}>Save this view…</MenuItem>}
        {current && !isOwn && <MenuItem icon={Plus} disabled onSelect={() => {}}>Filter or sort to save a view</MenuItem>}
        {isOwn && <MenuItem icon={Pencil} onSelect={() => setAsking({ what: "rename", name: current.name })}>Rename this view…</MenuItem>}
        {isOwn && <MenuItem icon={Trash2} danger onSelect={() => setAsking({ what: "delete", name: current.name })}>Delete this view…</MenuItem>}
      </Menu>
      {asking?.what === "save" && (
        <NameDialog
          title="Save this view"
          hint="Its filters and how it is sorted, kept in this browser."
          onClose={close}
          onName={(name) => {
            savedViews.save(name, search);
            toast({ title: "View saved", detail: name });
          }}
        />
      )}
      {asking?.what === "rename" && <NameDialog title="Rename this view" name={asking.name} onClose={close} onName={(name) => savedViews.rename(asking.name, name)} />}
      {asking?.what === "delete" && (
        <ConfirmDialog open onOpenChange={close} title={`Delete the view ${asking.name}?`} description="No job is touched." confirm="Delete the view" onConfirm={() => savedViews.remove(asking.name)} />
      )}
    </>
  );
}

function NameDialog({ title, hint, name: before = "", onClose, onName }: { title: string; hint?: string; name?: string; onClose: () => void; onName: (name: string) => void }) {
  const [name, setName] = useState(before);
  const [tried, setTried] = useState(false);
  const taken = useStore(savedViews).map((each) => each.name).filter((each) => each !== before);
  const fault = nameFault(name, taken);
  const save = () => {
    setTried(true);
    if (fault) return;
    onName(name.trim());
    onClose();
  };
  return (
    <Dialog open onOpenChange={onClose} title={title} footer={<Button kind="primary" onClick={save}>Save</Button>}>
      <form onSubmit={(event) => (event.preventDefault(), save())}>
        <Field label="Name" hint={hint} error={tried || (name && fault) ? fault : undefined}>
          <Input autoFocus value={name} onChange={(event) => setName(event.target.value)} />
        </Field>
      </form>
    </Dialog>
  );
}
