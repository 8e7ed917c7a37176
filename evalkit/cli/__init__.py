"""Parse the command line, run one command, print its result and exit."""
