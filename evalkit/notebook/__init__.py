"""Stored runs and their comparisons as objects for notebooks, with the words of the commands."""

__all__ = ["loaded_run"]
