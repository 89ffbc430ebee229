const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml"];
const TEXTS = /^(text\/|application\/(json|xml|x-ndjson|yaml|x-yaml|toml|javascript|sql|x-sh)\b)|[+/](json|xml)\b/;
const MEBIBYTE = 1024 * 1024;
/** How many characters of a text are shown. */
const CHARACTERS = 20_000;

/** How a file can be shown, and whether it is small enough to be fetched unasked. Undefined for those that can't. */
export function previewOf({ content_type, size }: { content_type: string; size: number }): { kind: "image" | "text"; atOnce: boolean } | undefined {
  const type = content_type.split(";")[0]?.trim().toLowerCase() ?? "";
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
