"""Judge answers by rubrics, and check the judges with controls and human labels."""

__all__ = [
    "anchors",
    "empty_answer",
    "judge",
    "lexical",
    "panel",
    "prices",
    "registry",
    "scoring",
    "votes",
]
