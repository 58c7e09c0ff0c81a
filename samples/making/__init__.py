"""The making of the sample papers: manuscripts, drawings, page layout, printing and truth."""
