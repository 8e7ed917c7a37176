"""A run, its baseline and the thresholds, turned into one verdict."""
