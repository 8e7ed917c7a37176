"""Define the records, errors and file access that every other package uses."""
