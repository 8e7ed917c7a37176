"""Post comments and statuses to pull and merge requests on code hosts."""

__all__ = ["comments", "github", "github_checks", "known_hosts", "rest_api"]
