"""Render HTML pages that need no network, have a strict policy, and never treat data as markup."""

__all__ = ["diff", "history", "report"]
