"""Compare stored runs: two runs by metric and case, a history, and a matrix of versions."""

__all__ = [
    "breakage",
    "call_stats",
    "case_changes",
    "divergence",
    "estimates",
    "history",
    "history_result",
    "jurors",
    "level",
    "matrix",
    "paired_scores",
    "pairs",
    "preferences",
    "scores",
    "summary",
    "suspect_labels",
    "versions",
]
