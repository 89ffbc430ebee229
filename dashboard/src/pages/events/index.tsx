import { PageHeader } from "@/components/Panel";

export default function Events() {
  return <PageHeader title="Events" />;
}
