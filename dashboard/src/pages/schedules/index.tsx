import { PageHeader } from "@/components/Panel";

export default function Schedules() {
  return <PageHeader title="Schedules" />;
}
