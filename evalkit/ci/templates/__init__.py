"""The files that `evalkit init` writes; it fills in the placeholders in double braces."""
