"""Model families, one file each, and what they share: loading, adapters, cached features."""
