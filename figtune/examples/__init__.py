"""Training examples: sources, cleaning, tasks (prompt + completion), split by paper."""
