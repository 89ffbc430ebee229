"""Acts on the queue: submit, cancel, retry, delete, pause; and what it says of itself."""
