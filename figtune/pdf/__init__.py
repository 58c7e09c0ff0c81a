"""PDF documents: pages, words, lines, drawings, images."""
