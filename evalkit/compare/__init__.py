"""Compare stored runs: two runs by metric and case, a history, and a matrix of versions."""

__all__ = [
    "call_stats",
    "case_changes",
    "estimates",
    "history",
    "jurors",
    "matrix",
    "paired_scores",
    "pairs",
    "preferences",
    "scores",
    "summary",
    "versions",
]
