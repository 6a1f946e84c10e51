"""Claims of the papers on estimation from samples."""
