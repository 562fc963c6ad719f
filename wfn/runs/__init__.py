"""A run: its settings, workload, record, lifecycle, files, and its copy in a tracking store."""
