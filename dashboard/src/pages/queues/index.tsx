import { PageHeader } from "@/components/Panel";

export default function Queues() {
  return <PageHeader title="Queues" />;
}
