"""Runs, baselines, spans and caches on disk, and the names by which users refer to runs."""

__all__ = [
    "answers",
    "baseline",
    "batches",
    "cache",
    "costs",
    "frames",
    "gate_results",
    "last_command",
    "refs",
    "run_lock",
    "run_outline",
    "run_seal",
    "run_spans",
    "run_writer",
    "runs",
    "seal",
    "span_file",
    "trial_lines",
    "untrusted_run",
]
