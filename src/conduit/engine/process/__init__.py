"""The process around it all: signals, streams, forks, exit codes, loading of service files."""
