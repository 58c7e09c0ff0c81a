"""Extraction of a folder of papers: one paper, its cache, worker processes and clusters, and the records written."""
