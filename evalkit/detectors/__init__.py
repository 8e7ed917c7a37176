"""Find what an answer or a log must not contain: secrets, personal data, leaked prompts, unsafe links."""

__all__ = [
    "findings",
    "language",
    "leaks",
    "links",
    "personal_data",
    "scanner",
    "tokens",
]
