"""How weights move."""

MOST_EPOCHS = 100_000  # of a run in all: weeks, on the smallest networks
