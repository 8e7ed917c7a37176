"""Compare a change with its base commit, find its edits to the gate, and comment on pull requests."""

__all__ = [
    "accept_hint",
    "acceptance",
    "access_changes",
    "against",
    "base",
    "base_files",
    "base_names",
    "borrowed_objects",
    "commits",
    "definition",
    "gate_changes",
    "guarded_gate",
    "requirement",
    "set_guard",
    "systems",
    "traffic_base",
    "unrun_sets",
    "workflow_files",
]
