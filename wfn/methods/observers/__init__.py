"""Who listens to a method for those that call it as a library: a bar, and a run in MLflow."""
