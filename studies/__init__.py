"""Studies: many runs that answer one question, on as many workers as you like, and resumable."""
