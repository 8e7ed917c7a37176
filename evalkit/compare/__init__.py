"""Compare stored runs: metrics and cases of two runs, history rows, a matrix of versions."""

__all__ = ["call_stats", "estimates", "history", "matrix", "pairs", "scores", "summary", "versions"]
