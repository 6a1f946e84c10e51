"""Claims of the papers on decoding."""
