"""Implement each command as a function of records."""

__all__ = ["debug", "dry_run", "evaluation", "flaky", "place_checks", "suspect_labels"]
