import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { Tooltip } from "radix-ui";
import { retry } from "@/api/client";
import { followTheme } from "@/app/settings";
import { router } from "@/app/router";
import { Toaster } from "@/components/Toaster";
import { startShortcuts } from "@/keyboard/shortcuts";
import { startLive } from "@/live/live";
import "./styles.css";

// Dialogs add a style sheet that keeps the page behind them still; the page's policy asks for this.
setNonce(document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "");
followTheme();
startShortcuts();

// What is shown is kept up to date by the event stream, so nothing grows old by itself.
const client = new QueryClient({
  defaultOptions: { queries: { staleTime: 10_000, retry, networkMode: "always" }, mutations: { networkMode: "always" } },
});
startLive(client);

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Tooltip.Provider delayDuration={300}>
        <RouterProvider router={router} />
        <Toaster />
      </Tooltip.Provider>
    </QueryClientProvider>
  </StrictMode>,
);
