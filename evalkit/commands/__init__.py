"""Implement each command as a function of records."""

__all__ = ["debug", "dry_run", "flaky", "suspect_labels"]
