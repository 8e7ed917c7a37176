"""The files that `evalkit init` writes, as they are written but for the marks in double braces."""
