"""Read the base commit of a change, find its edits to the gate, and publish results on a pull request."""
