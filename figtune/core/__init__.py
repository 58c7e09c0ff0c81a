"""Core: artifacts, stages, JSONL records, settings, errors, logging, worker processes; knows nothing of papers or
models."""
