"""Claims of the catalogue, one file a paper, in a sub-package a room."""
