import { useEffect } from "react";

/** What the tab is called while the component is shown. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title ? `${title} · Conduit` : "Conduit";
  }, [title]);
}
