"""Which weights that carry a deviation each may share a value, and which value that is."""
