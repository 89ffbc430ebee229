import { PageHeader } from "@/components/Panel";

export default function Apis() {
  return <PageHeader title="APIs" />;
}
