"""Compare a change with its base commit, find its edits to the gate, and comment on pull requests."""

__all__ = ["access_changes", "against", "base", "base_files", "definition", "github", "systems"]
