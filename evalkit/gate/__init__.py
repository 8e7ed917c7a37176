"""Decide thresholds and combine them into one gate result."""
