"""Answers of a trained model: about an image, a folder, a figure of a paper, or on a page in the browser."""
