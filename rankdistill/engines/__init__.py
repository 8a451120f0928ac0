"""The engines: each reads a source and hands grouped batches to one pass."""
