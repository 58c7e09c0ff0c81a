"""A PDF opened: pages, words, lines, drawings, images."""
