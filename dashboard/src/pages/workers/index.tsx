import { PageHeader } from "@/components/Panel";

export default function Workers() {
  return <PageHeader title="Workers" />;
}
