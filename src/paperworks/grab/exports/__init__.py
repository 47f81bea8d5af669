"""The files that other harnesses get; each scores with `paperworks.grab.answers`, which `standalone` puts into it."""
