"""The history database: its tables, its migrations, the way to it."""
