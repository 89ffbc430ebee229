import { AppWindow, CalendarClock, Inbox, LayoutDashboard, ListTodo, MailX, Server, SquareFunction, Zap, type LucideIcon } from "lucide-react";

/** The pages of the side navigation, with the key that follows `g`. */
export const NAVIGATION = [
  { to: "/", label: "Overview", icon: LayoutDashboard, key: "o" },
  { to: "/jobs", label: "Jobs", icon: ListTodo, key: "j" },
  { to: "/functions", label: "Functions", icon: SquareFunction, key: "f" },
  { to: "/queues", label: "Queues", icon: Inbox, key: "q" },
  { to: "/schedules", label: "Schedules", icon: CalendarClock, key: "s" },
  { to: "/workers", label: "Workers", icon: Server, key: "w" },
  { to: "/apis", label: "APIs", icon: AppWindow, key: "a" },
  { to: "/events", label: "Events", icon: Zap, key: "e" },
  { to: "/dead-letters", label: "Dead letters", icon: MailX, key: "d" },
] as const satisfies readonly { to: string; label: string; icon: LucideIcon; key: string }[];
