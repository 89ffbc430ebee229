import { useEffect, useState } from "react";
import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { useIsFetching, useQuery, useQueryClient } from "@tanstack/react-query";
import { Keyboard, LogOut, Menu as MenuIcon, Monitor, Moon, Sun, X } from "lucide-react";
import { api, call, get, signedOut } from "@/api/client";
import { IconButton } from "@/components/Button";
import { SearchInput } from "@/components/Field";
import { Menu, MenuCheck } from "@/components/Menu";
import { toastError } from "@/components/Toaster";
import { useShortcuts } from "@/keyboard/shortcuts";
import { cx } from "@/lib/cx";
import { useStore } from "@/lib/store";
import { ConnectionBadge } from "./ConnectionBadge";
import { KeyboardHelp } from "./KeyboardHelp";
import { Logo } from "./Logo";
import { LostNotice } from "./LostNotice";
import { NAVIGATION } from "./navigation";
import { theme, zone, type Theme } from "./settings";
import { VersionNotice } from "./VersionNotice";

/** What surrounds every page but the sign-in. */
export function Layout() {
  const [menuOpen, setMenuOpen] = useState(false);
  const [helpOpen, setHelpOpen] = useState(false);
  const { pathname } = useLocation();
  const loading = useIsFetching({ predicate: ({ state }) => state.data === undefined }) > 0;
  useEffect(() => setMenuOpen(false), [pathname]);
  useLeaveWhenSignedOut();
  useGlobalShortcuts(() => setHelpOpen(true));
  return (
    <div className="flex min-h-dvh">
      <a href="#main" className="sr-only z-50 rounded-md bg-accent px-3 py-2 text-accent-ink focus:not-sr-only focus:fixed focus:top-2 focus:left-2">
        Skip to the page
      </a>
      {menuOpen && <div className="fixed inset-0 z-30 bg-black/40 md:hidden" onClick={() => setMenuOpen(false)} />}
      <Side open={menuOpen} onClose={() => setMenuOpen(false)} />
      <div className="flex min-w-0 flex-1 flex-col">
        <TopBar onMenu={() => setMenuOpen(true)} onHelp={() => setHelpOpen(true)} />
        <VersionNotice />
        <main id="main" tabIndex={-1} aria-busy={loading} className="mx-auto w-full max-w-[100rem] flex-1 px-4 py-5 outline-none md:px-6">
          <Outlet />
        </main>
      </div>
      <LostNotice />
      <KeyboardHelp open={helpOpen} onOpenChange={setHelpOpen} />
    </div>
  );
}

function Side({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <nav
      aria-label="Pages"
      className={cx(
        "fixed inset-y-0 left-0 z-40 flex w-56 shrink-0 flex-col border-r border-line bg-canvas transition-transform md:sticky md:top-0 md:h-dvh md:w-52 md:translate-x-0",
        open ? "translate-x-0 shadow-float" : "invisible -translate-x-full md:visible",
      )}
    >
      <div className="flex h-13 items-center justify-between px-4">
        <Link to="/" className="flex items-center gap-2 rounded font-semibold tracking-tight">
          <Logo />
          Conduit
        </Link>
        <IconButton label="Close the menu" icon={X} onClick={onClose} className="md:hidden" />
      </div>
      <ul className="flex flex-1 flex-col gap-0.5 overflow-y-auto px-2 py-1">
        {NAVIGATION.map(({ to, label, icon: Icon }) => (
          <li key={to}>
            <Link
              to={to}
              activeOptions={{ exact: to === "/", includeSearch: false }}
              className="flex h-8 items-center gap-2.5 rounded-md px-2.5 font-medium text-muted transition-colors hover:bg-hover hover:text-ink data-[status=active]:bg-selected data-[status=active]:text-ink"
            >
              <Icon className="size-4 shrink-0" aria-hidden />
              {label}
            </Link>
          </li>
        ))}
      </ul>
      <p className="px-4 py-3 text-xs text-faint">Conduit {__CONDUIT_VERSION__}</p>
    </nav>
  );
}

function TopBar({ onMenu, onHelp }: { onMenu: () => void; onHelp: () => void }) {
  return (
    <div className="sticky top-0 z-20 flex h-13 items-center gap-2 border-b border-line bg-canvas/90 px-4 backdrop-blur md:px-6">
      <IconButton label="Open the menu" icon={MenuIcon} onClick={onMenu} className="-ml-2 md:hidden" />
      <JobSearch />
      <div className="ml-auto flex items-center gap-1">
        <ConnectionBadge />
        <ZoneSwitch />
        <ThemeSwitch />
        <IconButton label="Keyboard shortcuts" keys="?" icon={Keyboard} onClick={onHelp} className="max-sm:hidden" />
        <SignOut />
      </div>
    </div>
  );
}

/** Leads to the jobs with this text in them. */
function JobSearch() {
  const [wanted, setWanted] = useState("");
  const navigate = useNavigate();
  return (
    <form
      className="w-full max-w-80 min-w-0"
      onSubmit={(event) => {
        event.preventDefault();
        if (wanted.trim()) void navigate({ to: "/jobs", search: { q: wanted.trim() } });
        setWanted("");
      }}
    >
      <SearchInput label="Search jobs" placeholder="Search jobs" value={wanted} onChange={setWanted} />
    </form>
  );
}

function ZoneSwitch() {
  const chosen = useStore(zone);
  const other = chosen === "utc" ? "local" : "utc";
  return (
    <button
      type="button"
      title={chosen === "utc" ? "Times are in UTC" : `Times are local: ${Intl.DateTimeFormat().resolvedOptions().timeZone}`}
      aria-label={`Time zone: ${chosen === "utc" ? "UTC" : "local"}. Switch to ${other === "utc" ? "UTC" : "local"}`}
      onClick={() => zone.choose(other)}
      className="h-8 w-13 rounded-md text-sm font-medium text-muted hover:bg-hover hover:text-ink"
    >
      {chosen === "utc" ? "UTC" : "Local"}
    </button>
  );
}

const THEMES: readonly { value: Theme; label: string; icon: typeof Sun }[] = [
  { value: "light", label: "Light", icon: Sun },
  { value: "dark", label: "Dark", icon: Moon },
  { value: "system", label: "As the system", icon: Monitor },
];

function ThemeSwitch() {
  const chosen = useStore(theme);
  const Icon = THEMES.find((each) => each.value === chosen)?.icon ?? Monitor;
  return (
    <Menu
      trigger={
        <button type="button" aria-label={`Theme: ${chosen}`} title="Theme" className="inline-flex size-8 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-ink">
          <Icon className="size-4" aria-hidden />
        </button>
      }
    >
      {THEMES.map(({ value, label }) => (
        <MenuCheck key={value} closes checked={value === chosen} onChange={() => theme.choose(value)}>
          {label}
        </MenuCheck>
      ))}
    </Menu>
  );
}

/** Only where keys are asked for: else there is nothing to sign out of. */
function SignOut() {
  // A page that asks for nothing else learns here that its session has ended.
  const { data: session } = useQuery({ ...get("/api/v1/session"), refetchInterval: 60_000 });
  const client = useQueryClient();
  if (!session?.keys_required) return null;
  const leave = async () => {
    try {
      await call(api.DELETE("/api/v1/session"));
      client.clear();
      signedOut.set(true);
    } catch (error) {
      toastError(error);
    }
  };
  return <IconButton label={`Sign out ${session.name ?? ""} (${session.role})`} icon={LogOut} onClick={() => void leave()} />;
}

/** Leads to the sign-in once the server has refused us, and back from there. */
function useLeaveWhenSignedOut() {
  const out = useStore(signedOut);
  const navigate = useNavigate();
  useEffect(() => {
    const href = location.pathname + location.search;
    if (out) void navigate({ to: "/sign-in", search: { next: href === "/" ? undefined : href }, replace: true });
  }, [out]);
}

function useGlobalShortcuts(onHelp: () => void) {
  const navigate = useNavigate();
  useShortcuts([
    { keys: "?", label: "Show the shortcuts", group: "Anywhere", run: onHelp },
    { keys: "/", label: "Search", group: "Anywhere", run: focusSearch },
    ...NAVIGATION.map(({ to, label, key }) => ({ keys: `g ${key}`, label: `Go to ${label}`, group: "Go to", run: () => void navigate({ to }) })),
  ]);
}

/** The page's own search, else that of the top bar. */
function focusSearch() {
  const fields = [...document.querySelectorAll<HTMLInputElement>("[data-search]")];
  const field = fields.at(-1);
  field?.focus();
  field?.select();
}
