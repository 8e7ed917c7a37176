"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "columns",
    "dashboard_page",
    "dashboard_source",
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
    "request_list",
    "table",
]
