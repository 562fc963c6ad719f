"""The copy of a run's record in an MLflow tracking store."""
