"""What each method costs in accuracy against what it takes: figures, a table, and the line that no other beats."""
