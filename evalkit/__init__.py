"""Offline evaluation of AI agents: run labelled prompts, score, compare with a baseline, gate."""

__version__ = "0.1.0"
