"""From the queue's event stream into the history."""
