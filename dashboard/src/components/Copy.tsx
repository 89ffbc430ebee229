import { useEffect, useState } from "react";
import { Check, Copy as CopyIcon } from "lucide-react";
import { toast } from "./Toaster";
import { Button, IconButton } from "./Button";

/** Copies a text. With `children` it is a button with words, else an icon. */
export function Copy({ text, label = "Copy", children, className }: { text: string | (() => string); label?: string; children?: string; className?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    copyText(typeof text === "string" ? text : text()).then(
      () => setCopied(true),
      () => toast({ tone: "red", title: "Couldn't copy", detail: "The browser doesn't allow it here; select the text and copy it." }),
    );
  };
  const icon = copied ? Check : CopyIcon;
  if (children) return <Button size="small" icon={icon} onClick={copy} className={className}>{copied ? "Copied" : children}</Button>;
  return <IconButton label={copied ? "Copied" : label} icon={icon} onClick={copy} className={className ?? "size-6"} />;
}

/** Beyond this machine and without TLS, browsers have no `clipboard`: the old way works there. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("not allowed");
}
