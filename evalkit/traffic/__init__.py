"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "case_weights",
    "columns",
    "import_text",
    "importer",
    "personal_fields",
    "pseudonyms",
    "redaction",
    "redaction_key",
    "report",
    "report_documents",
    "report_record",
    "report_text",
    "request_facts",
    "request_list",
    "table",
    "validation",
    "validation_text",
    "version_outcomes",
    "weigh_text",
]
