"""`evalkit traffic import`: read files of traces, redact them, and store them by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.evalset.project import Project
from evalkit.traffic.importer import ImportOptions, ImportResult, import_files
from evalkit.traffic.redaction import TrafficRedactor
from evalkit.traffic.redaction_key import load_redaction_key
from evalkit.traffic.table import traffic_folder


def import_traffic(
    files: Sequence[Path],
    name: str,
    options: ImportOptions,
    context: Context,
    *,
    keep_pii: bool,
) -> ImportResult:
    """Import files into the project's traffic of this name.

    Raises:
        InvalidInput: the name, a file, or a record is not valid; nothing was stored.
        StoreError: the store cannot be written.
    """
    folder = traffic_folder(Project.open(context).root, name)
    key, _ = load_redaction_key(context.environ)
    redactor = TrafficRedactor(key, keep_pii=keep_pii, environ=context.environ)
    paths = [context.cwd / path for path in files]
    chosen = replace(options, redaction=redactor.describe())
    return import_files(paths, folder, chosen, redactor, context.now)


def parse_map(texts: Sequence[str]) -> dict[str, str]:
    """Return the column of each field of `--map input=question,output=answer`.

    Raises:
        InvalidInput: a part is no pair, or a field is named twice.
    """
    mapping: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        field, equals, column = part.partition("=")
        field, column = field.strip(), column.strip()
        if not (field and equals and column):
            raise InvalidInput.single(
                f"--map {part!r}: write FIELD=COLUMN, for example input=question."
            )
        if field in mapping:
            raise InvalidInput.single(f"--map {field}=: the field is named twice. Keep one.")
        mapping[field] = column
    return mapping
