import { PageHeader } from "@/components/Panel";

export default function Job() {
  return <PageHeader title="Job" />;
}
