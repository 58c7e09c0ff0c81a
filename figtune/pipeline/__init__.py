"""Plumbing that knows nothing of papers or models: artifacts, records, errors, progress."""
