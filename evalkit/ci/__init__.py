"""Compare a change with its base commit, find its edits to the gate, and post on pull requests."""

__all__ = ["against", "base", "github"]
