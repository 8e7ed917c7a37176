"""evalkit traffic: the commands for production traffic, each in a module of its own."""

from __future__ import annotations


def traffic() -> None:
    """Import and inspect traffic from production."""
