const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml"];
const TEXTS = /^(text\/|application\/(json|xml|x-ndjson|yaml|x-yaml|toml|javascript|sql|x-sh)\b)|[+/](json|xml)\b/;
const MEBIBYTE = 1024 * 1024;
/** How many characters of a text are shown. */
const CHARACTERS = 20_000;

const TYPES: Record<string, string> = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", svg: "image/svg+xml",
  txt: "text/plain", log: "text/plain", md: "text/markdown", csv: "text/csv", html: "text/html", json: "application/json", xml: "application/xml", yaml: "application/yaml", yml: "application/yaml",
};

/** What a file is: what its job said, or, where that was nothing, what its name says. */
export function typeOf({ name, content_type }: { name: string; content_type: string }): string {
  const told = content_type.split(";")[0]?.trim().toLowerCase() ?? "";
  if (told && told !== "application/octet-stream") return told;
  return TYPES[/\.([a-z]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ""] ?? told;
}

/** How a file can be shown, and whether it is small enough to be fetched unasked. Undefined for those that can't. */
export function previewOf({ size, ...artifact }: { name: string; content_type: string; size: number }): { kind: "image" | "text"; atOnce: boolean } | undefined {
  const type = typeOf(artifact);
  if (size === 0 || size > 50 * MEBIBYTE) return undefined;
  if (IMAGES.includes(type)) return { kind: "image", atOnce: size <= 2 * MEBIBYTE };
  if (TEXTS.test(type)) return { kind: "text", atOnce: size <= MEBIBYTE / 4 };
  return undefined;
}

/** The beginning of a text, which says that it goes on where it does. */
export async function cutText(blob: Blob): Promise<string> {
  const text = new TextDecoder().decode(await blob.slice(0, 4 * CHARACTERS).arrayBuffer());
  const isCut = text.length > CHARACTERS || blob.size > 4 * CHARACTERS;
  return isCut ? `${text.slice(0, CHARACTERS)}\n… download it to see all of it` : text;
}
