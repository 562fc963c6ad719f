"""What a study leaves: its figure, its table, importances, a Pareto front."""
