"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "columns",
    "estimate_text",
    "import_text",
    "importer",
    "known_cases",
    "personal_fields",
    "pseudonyms",
    "redaction",
    "redaction_key",
    "rubric_files",
    "sample_cases",
    "sample_estimate",
    "sample_table",
    "sample_text",
    "sampled_sets",
    "sampling",
    "table",
]
