export function Logo({ className = "size-5" }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" className={className} aria-hidden>
      <rect width="32" height="32" rx="8" fill="#5b5bd6" />
      <path d="M21.5 11.2A7 7 0 1 0 21.5 20.8" fill="none" stroke="#fff" strokeWidth="3.4" strokeLinecap="round" />
      <circle cx="22.4" cy="16" r="2.2" fill="#fff" />
    </svg>
  );
}
