import { PageHeader } from "@/components/Panel";

export default function FunctionPage() {
  return <PageHeader title="Function" />;
}
