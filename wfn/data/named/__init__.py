"""The data sets by name, one a module."""
