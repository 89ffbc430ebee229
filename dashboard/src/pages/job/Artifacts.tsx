import { useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { Download, FileText, Image as ImageIcon, Paperclip } from "lucide-react";
import { get, type Schemas } from "@/api/client";
import { Button } from "@/components/Button";
import { CodeBlock } from "@/components/Code";
import { Panel } from "@/components/Panel";
import { Skeleton } from "@/components/States";
import { Time } from "@/components/Time";
import { bytes } from "@/lib/format";
import { cutText, previewOf, typeOf } from "./preview";

type Artifact = Schemas["ArtifactView"];

/** The files that a job kept. Nothing where there are none. */
export function Artifacts({ jobId }: { jobId: string }) {
  const { data } = useQuery(get("/api/v1/jobs/{job_id}/artifacts", { params: { path: { job_id: jobId } } }));
  if (!data || data.items.length === 0) return null;
  return (
    <Panel title={`Artifacts ${data.items.length > 1 ? `(${data.items.length})` : ""}`}>
      <ul className="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">
        {data.items.map((artifact) => <Item key={artifact.name} artifact={artifact} />)}
      </ul>
    </Panel>
  );
}

function Item({ artifact }: { artifact: Artifact }) {
  const preview = previewOf(artifact);
  const [wanted, setWanted] = useState(preview?.atOnce ?? false);
  const Icon = preview?.kind === "image" ? ImageIcon : preview?.kind === "text" ? FileText : Paperclip;
  return (
    <li className="flex min-w-0 flex-col overflow-hidden rounded-md border border-line">
      <div className="flex items-center gap-2 px-3 py-2">
        <Icon className="size-4 shrink-0 text-muted" aria-hidden />
        <div className="min-w-0 flex-1">
          <bdi className="block truncate font-medium" title={artifact.name}>{artifact.name}</bdi>
          <p className="truncate text-xs text-muted" title={`SHA-256 ${artifact.sha256}`}>
            {bytes(artifact.size)}, <bdi>{artifact.content_type}</bdi>, <Time at={artifact.at} />
          </p>
        </div>
        <Button asChild size="small" kind="quiet" className="w-7 px-0">
          <a href={artifact.href} download={artifact.name.split("/").at(-1)} aria-label={`Download ${artifact.name}`}>
            <Download className="size-4" aria-hidden />
          </a>
        </Button>
      </div>
      {preview && (
        <div className="flex min-h-32 flex-1 flex-col items-center justify-center border-t border-line bg-canvas p-2">
          {wanted ? (
            preview.kind === "image" ? <Picture artifact={artifact} /> : <Text artifact={artifact} />
          ) : (
            <Button size="small" onClick={() => setWanted(true)}>Show {bytes(artifact.size)}</Button>
          )}
        </div>
      )}
    </li>
  );
}

/** The server sends files to be saved, never to be shown; as data of ours a picture can be drawn, and nothing in it runs. */
function useBlob(artifact: Artifact) {
  // By its contents: a file that was replaced is fetched anew, no other change makes it old.
  return useQuery({
    queryKey: ["artifact", artifact.href, artifact.sha256],
    staleTime: Infinity,
    queryFn: async ({ signal }) => {
      const answer = await fetch(artifact.href, { signal });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      return answer.blob();
    },
  });
}

function Picture({ artifact }: { artifact: Artifact }) {
  const { data, isError } = useBlob(artifact);
  const [url, setUrl] = useState<string | null>(null);
  const [isBroken, setBroken] = useState(false);
  useEffect(() => {
    if (!data) return;
    const made = URL.createObjectURL(new Blob([data], { type: typeOf(artifact) }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  if (isError || isBroken) return <p className="text-sm text-muted">This picture can't be shown.</p>;
  if (!url) return <Skeleton className="h-40 w-full" />;
  return <img src={url} alt={artifact.name} onError={() => setBroken(true)} className="max-h-72 max-w-full object-contain" />;
}

function Text({ artifact }: { artifact: Artifact }) {
  const { data, isError } = useBlob(artifact);
  const [text, setText] = useState<string | null>(null);
  useEffect(() => {
    if (data) void cutText(data).then(setText);
  }, [data]);
  if (isError) return <p className="text-sm text-muted">This text can't be shown.</p>;
  if (text === null) return <Skeleton className="h-40 w-full" />;
  return <CodeBlock code={text} label={`Text of ${artifact.name}`} className="w-full border-0 [&>pre]:max-h-56 [&>pre]:text-xs" />;
}
