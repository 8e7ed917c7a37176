"""Compare a change with its base commit, find its edits to the gate, and comment on pull requests."""

__all__ = ["against", "base", "github", "guarded_gate"]
