import { parse, stringify } from "@/lib/json";

const PREFIX = "base64:";

/** A letter's body to be read: JSON indented; of bytes that are no text, what can be read of them. */
export function readable(body: string): { text: string; isBytes: boolean } {
  if (!body.startsWith(PREFIX)) return { text: indented(body), isBytes: false };
  try {
    const bytes = Uint8Array.from(atob(body.slice(PREFIX.length)), (each) => each.charCodeAt(0));
    const text = new TextDecoder().decode(bytes);
    return { text: [...text].map((each) => (/[\p{C}\uFFFD]/u.test(each) && each !== "\n" ? "·" : each)).join(""), isBytes: true };
  } catch {
    return { text: body, isBytes: false };
  }
}

function indented(text: string): string {
  try {
    return stringify(parse(text), 2);
  } catch {
    return text;
  }
}
