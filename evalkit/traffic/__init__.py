"""Recorded production traffic: what is replaced before it is stored."""

__all__ = ["personal_fields", "pseudonyms", "redaction", "redaction_key"]
