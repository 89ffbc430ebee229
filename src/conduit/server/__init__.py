"""What remembers and shows: a history that follows the queue's events, REST and live updates."""
