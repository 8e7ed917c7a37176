"""What the commands of `evalkit traffic` do."""
