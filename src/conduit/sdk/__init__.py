"""What a service file touches: workers, task handles, futures, events, parallel helpers, APIs."""
