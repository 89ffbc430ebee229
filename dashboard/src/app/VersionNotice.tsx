import { useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { RefreshCw } from "lucide-react";
import { get } from "@/api/client";
import { Button } from "@/components/Button";
import { useConnection } from "@/live/live";

/** Says that the server has become another version than this page, whose parts may be gone. */
export function VersionNotice() {
  const connection = useConnection();
  const { data, refetch } = useQuery({ ...get("/api/v1/health"), refetchInterval: 60_000 });
  const [missing, setMissing] = useState(false);
  useEffect(() => {
    // A server that comes back may be a new one.
    if (connection === "live") void refetch();
  }, [connection, refetch]);
  useEffect(() => {
    const notice = () => setMissing(true);
    window.addEventListener("vite:preloadError", notice);
    return () => window.removeEventListener("vite:preloadError", notice);
  }, []);
  const other = data !== undefined && data.version !== __CONDUIT_VERSION__;
  if (!other && !missing) return null;
  return (
    <div role="alert" className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line bg-blue-soft px-4 py-2 text-blue md:px-6">
      <span className="flex-1">
        {other
          ? `The server is Conduit ${data.version}, this page is of ${__CONDUIT_VERSION__}. Load it anew, so that they understand each other.`
          : "A part of this page is gone: the server has probably been updated. Load the page anew."}
      </span>
      <Button size="small" icon={RefreshCw} onClick={() => location.reload()}>Load anew</Button>
    </div>
  );
}
