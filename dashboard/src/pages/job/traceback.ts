/** One call that was under way. */
export interface Frame {
  file: string;
  line: number;
  name: string;
  /** The source line, with the marks below it. */
  code: string[];
  isLibrary: boolean;
}

/** One exception and the calls that led to it. */
export interface Raised {
  frames: Frame[];
  /** `CardError: declined`, with notes and further lines of its message. */
  message: string;
  /** How the exception before this one led to it. */
  link: "cause" | "context" | null;
}

const LINKS = {
  "The above exception was the direct cause of the following exception:": "cause",
  "During handling of the above exception, another exception occurred:": "context",
} as const;
const HEAD = "Traceback (most recent call last):";
const FRAME = /^ {2}File "(.*)", line (\d+)(?:, in (.*))?$/;
const LIBRARY = /site-packages|dist-packages|[\\/]lib(?:64)?[\\/]python3|<frozen |[\\/]conduit[\\/](?:engine|sdk|core|queue)[\\/]/;

/** A Python traceback, the exception that came last being the last. Null where it isn't one that can be read: a group, say. */
export function parseTraceback(text: string): Raised[] | null {
  const chain: Raised[] = [];
  let current: Raised = { frames: [], message: "", link: null };
  let isMessage = false;
  for (const line of text.replace(/\s+$/, "").split("\n")) {
    const link = LINKS[line.trim() as keyof typeof LINKS];
    const frame = isMessage ? null : FRAME.exec(line);
    if (/^\s+[|+]/.test(line)) return null;
    if (link) {
      if (!isMessage) return null;
      chain.push(trimmed(current));
      current = { frames: [], message: "", link };
      isMessage = false;
    } else if (line === HEAD && !current.message.trim()) {
      isMessage = false;
    } else if (frame) {
      const [, file = "", number, name = ""] = frame;
      current.frames.push({ file, line: Number(number), name, code: [], isLibrary: LIBRARY.test(file) });
    } else if (!isMessage && /^ {2}/.test(line)) {
      const last = current.frames.at(-1);
      // The beginning was cut off: what is left of that frame says nothing.
      if (last) last.code.push(line.slice(4).trimEnd());
    } else if (!isMessage && !line.trim() && !current.frames.length) {
      continue;
    } else {
      isMessage = true;
      current.message += `${line}\n`;
    }
  }
  chain.push(trimmed(current));
  return chain.every((raised) => raised.message) && chain.some((raised) => raised.frames.length) ? chain : null;
}

function trimmed(raised: Raised): Raised {
  return { ...raised, message: raised.message.trim() };
}

/** Frames in runs of one's own and of libraries. */
export function runs(frames: readonly Frame[]): { isLibrary: boolean; frames: Frame[] }[] {
  const found: { isLibrary: boolean; frames: Frame[] }[] = [];
  for (const frame of frames) {
    const last = found.at(-1);
    if (last?.isLibrary === frame.isLibrary) last.frames.push(frame);
    else found.push({ isLibrary: frame.isLibrary, frames: [frame] });
  }
  return found;
}

/** The end of a path, as much as tells files apart. */
export function shortPath(path: string): string {
  const library = /^.*(?:site-packages|dist-packages|lib(?:64)?[\\/]python3[^\\/]*)[\\/](.+)$/.exec(path)?.[1];
  if (library) return library;
  const parts = path.split(/[\\/]/).filter((part) => part !== "");
  return parts.length > 3 ? `…/${parts.slice(-3).join("/")}` : path;
}
