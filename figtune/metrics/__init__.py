"""Pure functions over predictions and references."""
