"""The rules of the claims of weight fixing, a family in each module."""
