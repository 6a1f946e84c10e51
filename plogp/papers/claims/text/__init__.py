"""Claims of the papers on text."""
