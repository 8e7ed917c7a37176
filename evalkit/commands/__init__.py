"""Implement each command as a function of records."""

__all__ = [
    "baselines",
    "batch",
    "batch_checks",
    "batch_record",
    "budget_shares",
    "debug",
    "dry_run",
    "evaluation",
    "flaky",
    "named_runs",
    "place_checks",
    "shared_limit",
    "suspect_labels",
]
