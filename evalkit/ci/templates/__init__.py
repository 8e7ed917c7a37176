"""The files that `evalkit init` writes, with placeholders in double braces."""
