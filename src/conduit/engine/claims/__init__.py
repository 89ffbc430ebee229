"""Which jobs a worker holds: claiming them, their places, their leases."""
