"""Run folders, checkpoints, logs, seeds, flags and errors: knows nothing of learning or environments."""
