"""What a study leaves: its figure, its table, and what its trials trade off."""
