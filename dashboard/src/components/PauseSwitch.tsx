import { useState } from "react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { CirclePause, CirclePlay } from "lucide-react";
import { api, call, refresh } from "@/api/client";
import { useRefusal } from "@/api/role";
import { useShortcuts } from "@/keyboard/shortcuts";
import { Button } from "./Button";
import { ConfirmDialog } from "./Dialog";
import { toast, toastError } from "./Toaster";

const of = (name: string) => ({ params: { path: { name } } });

interface Kind {
  pause: (name: string) => Promise<unknown>;
  resume: (name: string) => Promise<unknown>;
  meanwhile: string;
  /** Which answers are old then. */
  changes: string[];
}

/** What can be paused. */
const KINDS: Record<"queue" | "schedule" | "function", Kind> = {
  queue: {
    pause: (name: string) => call(api.POST("/api/v1/queues/{name}/pause", of(name))),
    resume: (name: string) => call(api.POST("/api/v1/queues/{name}/resume", of(name))),
    meanwhile: "Its jobs wait until it is resumed.",
    changes: ["/api/v1/queues"],
  },
  schedule: {
    pause: (name: string) => call(api.POST("/api/v1/crons/{name}/pause", of(name))),
    resume: (name: string) => call(api.POST("/api/v1/crons/{name}/resume", of(name))),
    meanwhile: "Its ticks pass without a job until it is resumed.",
    changes: ["/api/v1/crons"],
  },
  function: {
    pause: (name: string) => call(api.POST("/api/v1/functions/{name}/pause", of(name))),
    resume: (name: string) => call(api.POST("/api/v1/functions/{name}/resume", of(name))),
    meanwhile: "Its jobs wait until it is resumed.",
    changes: ["/api/v1/functions", "/api/v1/queues"],
  },
};

interface Props {
  kind: keyof typeof KINDS;
  name: string;
  paused: boolean;
  /** What pausing it means, for who is asked whether they want that. */
  description: string;
  size?: "small";
  /** The key that does the same, where the page is about this one. */
  keys?: string;
}

/** Pauses something, once that was confirmed, and lets it go on. */
export function PauseSwitch({ kind, name, paused, description, size, keys }: Props) {
  const [asking, setAsking] = useState(false);
  const refused = useRefusal("operate");
  const client = useQueryClient();
  const { meanwhile, changes, ...acts } = KINDS[kind];
  const pause = async () => {
    await acts.pause(name);
    toast({ title: `${name} is paused`, detail: meanwhile });
    refresh(client, ...changes);
  };
  const resume = useMutation({
    mutationFn: () => acts.resume(name),
    onSuccess: () => {
      toast({ title: `${name} goes on` });
      refresh(client, ...changes);
    },
    onError: toastError,
  });
  const word = paused ? "Resume" : "Pause";
  const turn = () => (paused ? resume.mutate() : setAsking(true));
  useShortcuts(keys ? [{ keys, label: word, group: kind.charAt(0).toUpperCase() + kind.slice(1), run: () => !refused && turn() }] : []);
  return (
    <>
      <Button size={size} icon={paused ? CirclePlay : CirclePause} busy={resume.isPending} refused={refused} onClick={turn} aria-label={`${word} ${name}`}>{word}</Button>
      <ConfirmDialog open={asking} onOpenChange={setAsking} title={`Pause the ${kind} ${name}?`} description={description} confirm={`Pause the ${kind}`} danger={false} onConfirm={pause} />
    </>
  );
}
