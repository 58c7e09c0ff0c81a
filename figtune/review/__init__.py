"""The page on which a person decides on examples: what is still open, shown by keyboard, kept line by line."""
