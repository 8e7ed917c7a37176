"""Apply rubrics with judges that controls and human labels check."""

__all__ = [
    "anchors",
    "controls",
    "empty_answer",
    "judge",
    "lexical",
    "panel",
    "registry",
    "scoring",
]
