import { Setting, useStore } from "@/lib/store";
import type { Zone } from "@/lib/format";

export type Theme = "light" | "dark" | "system";

/** The zone that times are shown in. */
export const zone = new Setting<Zone>("conduit.zone", ["local", "utc"], "local");
/** The theme, `system` being what the system says. `public/theme.js` reads it, too. */
export const theme = new Setting<Theme>("conduit.theme", ["light", "dark", "system"], "system");

export function useZone(): Zone {
  return useStore(zone);
}

/** Keep the page's theme as the user, or the system, wants it. */
export function followTheme(): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = theme.get();
    const dark = chosen === "dark" || (chosen === "system" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  theme.subscribe(apply);
  system.addEventListener("change", apply);
  apply();
}
