"""Training: the loop every method shares, selection on validation data, checkpoints, jobs."""
