"""Post comments and statuses to pull and merge requests on code hosts."""

__all__ = ["comments", "known_hosts"]
