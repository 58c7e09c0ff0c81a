"""What differs per model family, and what all families share: adapters, collation, training."""
