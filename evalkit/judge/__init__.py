"""Judge answers by rubrics, and check the judges with controls and human labels."""

__all__ = [
    "anchors",
    "empty_answer",
    "judge",
    "judge_panel",
    "jury",
    "lexical",
    "one_question",
    "pairs",
    "panel",
    "prices",
    "registry",
    "scoring",
    "votes",
]
