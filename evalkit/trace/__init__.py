"""Collect spans, normalize them and query them."""
