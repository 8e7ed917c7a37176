"""HTML pages that need no network, run under a strict policy, and never treat data as markup."""

__all__ = ["diff", "history", "report"]
