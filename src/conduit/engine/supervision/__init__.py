"""A worker's life: runner, lifespan, an orderly stop, and who notices when nothing moves."""
