"""Training examples: sources, filters, cleaning, tasks (prompt + completion), split by paper."""
