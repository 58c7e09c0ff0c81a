"""What differs per model family, and what all share: loading, adapters, what the vision encoder sees."""
