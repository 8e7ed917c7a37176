"""The reference pages in Markdown that `evalkit help TOPIC` shows."""
