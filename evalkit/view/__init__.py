"""Show the store as linked pages: served on loopback while runs are under way, or exported as files."""

__all__ = [
    "access",
    "addresses",
    "catalog",
    "export",
    "loopback",
    "progress",
    "server",
    "site",
    "viewer",
]
