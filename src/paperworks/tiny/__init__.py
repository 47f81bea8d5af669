"""Small real data that every machine has or that the project draws itself; one file a source, each deterministic."""
