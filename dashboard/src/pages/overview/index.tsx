import { PageHeader } from "@/components/Panel";

export default function Overview() {
  return <PageHeader title="Overview" />;
}
