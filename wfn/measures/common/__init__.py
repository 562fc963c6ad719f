"""What measures share: what a measure is, distinct values, a network's predictions."""
