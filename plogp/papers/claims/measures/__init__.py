"""Claims of the papers on exact measures."""
