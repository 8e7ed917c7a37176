"""Score one trial with built-in metrics, rubrics and plugins."""

__all__ = ["entry_points", "pairwise", "rubric", "scorers", "specs"]
