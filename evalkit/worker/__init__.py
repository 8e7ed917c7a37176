"""Run the user's Python objects and commands in child processes, and kill everything they started."""

__all__ = [
    "agent_target",
    "child_command",
    "defined_names",
    "environment",
    "input_log",
    "installed",
    "limited_files",
    "limited_run",
    "missing_module",
    "module_paths",
    "object_loader",
    "pieces",
    "pool",
    "process_tree",
    "streams",
    "user_code",
]
