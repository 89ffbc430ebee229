import { PageHeader } from "@/components/Panel";

export default function Jobs() {
  return <PageHeader title="Jobs" />;
}
