"""Post-training export: merge the adapter and upload it to the Hub."""
