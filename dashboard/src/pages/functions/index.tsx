import { PageHeader } from "@/components/Panel";

export default function Functions() {
  return <PageHeader title="Functions" />;
}
