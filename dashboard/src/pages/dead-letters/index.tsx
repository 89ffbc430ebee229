import { PageHeader } from "@/components/Panel";

export default function DeadLetters() {
  return <PageHeader title="Dead letters" />;
}
