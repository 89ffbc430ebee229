"""One run of one job, and what is reported of it."""
