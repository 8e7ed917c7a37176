"""The command line: options, help, terminal and exit codes; one module per command, named like it."""

__all__ = ["app", "distribution", "private_process"]
