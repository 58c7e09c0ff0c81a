"""What becomes of an adapter after training: merged, and put on the Hub."""
