"""What defines a gate, read from a set's folder, and what a change edits in it."""
