"""Claims of the papers on statistics, fairness and scorecards."""
