"""Decide thresholds and combine them into one gate result."""

__all__ = [
    "broken_cases",
    "budget",
    "decide",
    "judge_trust",
    "model_move",
    "next_stage",
    "outcome",
    "paired",
    "population",
    "preflight",
    "sequential",
    "simulation",
    "traffic",
]
