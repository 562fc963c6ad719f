"""What measures share: what a measure is, distinct values, predictions, paired outcomes."""
