"""A script for each coder of others, each run in an environment of its own."""
