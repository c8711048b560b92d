"""Training for every objective: the loop, its optimizers and processes, its state on disk."""
