"""Where the bytes of artifacts are kept once the server has copied them out of the queue."""
