"""Production traffic: imported from files, redacted, and stored as tables by day."""

__all__ = [
    "alignment",
    "columns",
    "gate_data",
    "gate_documents",
    "gate_records",
    "gate_result",
    "gate_text",
    "import_text",
    "importer",
    "measures",
    "periods",
    "personal_fields",
    "pseudonyms",
    "redaction",
    "redaction_key",
    "table",
]
