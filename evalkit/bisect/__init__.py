"""Find the commit that made an agent worse: history, search, tests, and the runs of commits."""

__all__ = ["commit_run", "history", "neighbors", "search", "session", "verdict"]
