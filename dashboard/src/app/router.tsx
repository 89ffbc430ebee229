import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet } from "@tanstack/react-router";
import { parseSearch, stringifySearch, text } from "@/lib/search";
import { validateApis } from "@/pages/apis/search";
import { validateDeadLetters } from "@/pages/dead-letters/search";
import { validateEvents } from "@/pages/events/search";
import { validateFunction, validateFunctions } from "@/pages/functions/search";
import { validateJobs } from "@/pages/jobs/search";
import { validateOverview } from "@/pages/overview/search";
import { validateQueues } from "@/pages/queues/search";
import { validateSchedules } from "@/pages/schedules/search";
import { validateWorkers } from "@/pages/workers/search";
import { Layout } from "./Layout";
import { NotFound, PageError } from "./PageError";

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });
const layout = createRoute({ getParentRoute: () => root, id: "layout", component: Layout });

// Each page is a module of its own, loaded when it is first opened or its link is hovered.
const routes = [
  createRoute({ getParentRoute: () => layout, path: "/", validateSearch: validateOverview, component: lazyRouteComponent(() => import("@/pages/overview")) }),
  createRoute({ getParentRoute: () => layout, path: "/jobs", validateSearch: validateJobs, component: lazyRouteComponent(() => import("@/pages/jobs")) }),
  createRoute({ getParentRoute: () => layout, path: "/jobs/$id", component: lazyRouteComponent(() => import("@/pages/job")) }),
  createRoute({ getParentRoute: () => layout, path: "/functions", validateSearch: validateFunctions, component: lazyRouteComponent(() => import("@/pages/functions")) }),
  createRoute({ getParentRoute: () => layout, path: "/functions/$name", validateSearch: validateFunction, component: lazyRouteComponent(() => import("@/pages/functions/function")) }),
  createRoute({ getParentRoute: () => layout, path: "/queues", validateSearch: validateQueues, component: lazyRouteComponent(() => import("@/pages/queues")) }),
  createRoute({ getParentRoute: () => layout, path: "/schedules", validateSearch: validateSchedules, component: lazyRouteComponent(() => import("@/pages/schedules")) }),
  createRoute({ getParentRoute: () => layout, path: "/workers", validateSearch: validateWorkers, component: lazyRouteComponent(() => import("@/pages/workers")) }),
  createRoute({ getParentRoute: () => layout, path: "/apis", validateSearch: validateApis, component: lazyRouteComponent(() => import("@/pages/apis")) }),
  createRoute({ getParentRoute: () => layout, path: "/events", validateSearch: validateEvents, component: lazyRouteComponent(() => import("@/pages/events")) }),
  createRoute({ getParentRoute: () => layout, path: "/dead-letters", validateSearch: validateDeadLetters, component: lazyRouteComponent(() => import("@/pages/dead-letters")) }),
  createRoute({ getParentRoute: () => layout, path: "$", component: NotFound }),
] as const;

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: (search: Record<string, unknown>): { next?: string | undefined } => ({ next: text(search.next) }),
  component: lazyRouteComponent(() => import("@/pages/sign-in")),
});

export const router = createRouter({
  routeTree: root.addChildren([layout.addChildren(routes), signIn]),
  defaultPreload: "intent",
  defaultErrorComponent: PageError,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: true,
  parseSearch,
  stringifySearch,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
