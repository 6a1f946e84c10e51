"""Claims of the papers on spectra of representations."""
