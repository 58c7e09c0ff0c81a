"""Evaluation of base and tuned model on held-out examples."""
