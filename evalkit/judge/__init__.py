"""Apply rubrics with judges that controls and human labels check."""

__all__ = ["anchors", "empty_answer", "judge", "lexical", "panel", "registry", "scoring"]
