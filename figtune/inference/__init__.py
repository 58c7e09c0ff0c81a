"""Talking to the model: about an image, a folder of them, a figure of a paper, or on a page in the browser."""
