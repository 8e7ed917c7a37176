"""Implement each command as a function of records."""
