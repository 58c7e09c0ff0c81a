"""Metrics, confidence intervals and the verdict: pure functions over predictions and references."""
