"""What surrounds every route: access, errors, live updates, the dashboard's files."""
