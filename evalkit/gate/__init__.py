"""Decide thresholds and combine them into one gate result."""

__all__ = [
    "broken_cases",
    "budget",
    "decide",
    "evidence",
    "judge_trust",
    "limits",
    "model_move",
    "next_stage",
    "outcome",
    "paired",
    "phrases",
    "population",
    "preflight",
    "sequential",
    "simulation",
    "traffic",
]
