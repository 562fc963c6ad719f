"""The runs of a report, and the rows that they make."""
