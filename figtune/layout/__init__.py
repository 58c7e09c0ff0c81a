"""Text layout: body style, roles of lines, rows, paragraphs, sections and the mentions of figures."""
