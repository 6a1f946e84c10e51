"""Claims of the papers on what a sequence model knows, token by token."""
