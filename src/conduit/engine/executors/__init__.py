"""Where plain functions run: threads and worker processes."""
