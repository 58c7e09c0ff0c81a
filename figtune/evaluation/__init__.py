"""Base and tuned model tried on the examples that were held out."""
