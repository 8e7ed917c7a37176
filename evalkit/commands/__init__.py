"""Implement each command as a function of records."""

__all__ = [
    "baselines",
    "batch",
    "batch_checks",
    "budget_shares",
    "current_runs",
    "debug",
    "dry_run",
    "evaluation",
    "flaky",
    "place_checks",
    "shared_limit",
    "suspect_labels",
]
