"""Let a person label some of the answers that a judge scored."""

__all__ = ["command", "loop", "terminal"]
