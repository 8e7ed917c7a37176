"""One module per command: what it does, as a function of records."""
