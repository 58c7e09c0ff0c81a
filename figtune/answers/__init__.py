"""What a model says about a picture."""
