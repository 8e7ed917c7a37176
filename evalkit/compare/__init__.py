"""Compare two runs, and several versions."""
