"""Send a run to MLflow or Weights & Biases, from a process of its own that reads the run's files."""
