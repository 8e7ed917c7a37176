"""Open stored traffic as the tables requests, spans, feedback, and samples in DuckDB.

A traffic store is a folder `.evalkit/traffic/NAME/` with `TABLE/day=YYYY-MM-DD/part-0.parquet` for each
table and day, `imports.jsonl`, which has one record for each imported file, and `samples/ID.parquet` for
each sample that was drawn.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.core.errors import InvalidInput, StoreError
from evalkit.core.files import path_exists
from evalkit.traffic.columns import SAMPLE_COLUMNS, TABLES, select_nothing

if TYPE_CHECKING:
    import duckdb

IMPORTS_FILE = "imports.jsonl"
UNFINISHED_FILE = "unfinished.txt"
"""The names of the files of an import that is replacing files of the store, or was killed while it did."""

PART_FILE = "part-0.parquet"
SAMPLES_FOLDER = "samples"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}")


def traffic_folder(root: Path, name: str) -> Path:
    """Return the folder of the traffic of this name in a project.

    Raises:
        InvalidInput: it is not a name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput.single(
            f"{name!r} is not a name for traffic. Use letters, digits, '-', '_', and '.', "
            "for example prod-2026w48."
        )
    return root / ".evalkit" / "traffic" / name


def list_traffic(root: Path) -> list[str]:
    """Return the names of a project's stored traffic, sorted."""
    folder = root / ".evalkit" / "traffic"
    if not path_exists(folder):
        return []
    return sorted(path.parent.name for path in folder.glob(f"*/{IMPORTS_FILE}"))


def open_traffic(folder: Path) -> duckdb.DuckDBPyConnection:
    """Open a traffic store with the views requests, spans, feedback, and samples; close it after use.

    The columns are those of `evalkit/traffic/columns.py` and `day`, a DATE. In SQL, write the column
    `user` in double quotes. A table without rows is an empty view. The connection can read the store only.

    Raises:
        InvalidInput: there is no such store. The message names those that there are.
        StoreError: an import was interrupted, or a stored file is damaged.
        StoreError: a stored file is damaged.
    """
    if not path_exists(folder / IMPORTS_FILE):
        raise InvalidInput.single(_explain_missing(folder))
    if path_exists(folder / UNFINISHED_FILE):
        names = ", ".join((folder / UNFINISHED_FILE).read_text(encoding="utf-8").splitlines())
        raise StoreError(
            f"{folder}: an import did not finish, so requests may be missing. Import its files again, with "
            f"the earlier files of the same days: {names}"
        )
    import duckdb  # noqa: PLC0415 - it takes long, and callers check their input first

    connection = duckdb.connect()
    for name in TABLES:
        try:
            connection.execute(f"create view {name} as {select_table(folder, name)}")
        except duckdb.Error as error:
            connection.close()
            reason = str(error).partition("\n")[0]
            raise StoreError(
                f"{folder / name}: a stored file is damaged: {reason}. Delete its day, and import again."
            ) from error
    connection.execute(f"create view samples as {_select_samples(folder)}")
    for setting in (
        f"allowed_directories = [{quote_text(str(folder))}]",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "TimeZone = 'UTC'",
        "enable_external_access = false",
    ):
        connection.execute(f"set {setting}")
    return connection


def select_table(folder: Path, table: str) -> str:
    """Return SQL for a stored table: its columns and `day`. Columns that a file lacks are NULL."""
    columns = {**TABLES[table], "day": "DATE"}
    if not any((folder / table).glob(f"day=*/{PART_FILE}")):
        return select_nothing(columns)
    pattern = quote_text(str(folder / table / "day=*" / PART_FILE))
    return (
        f"{select_nothing(columns)} union all by name select * from read_parquet({pattern}, "  # noqa: S608
        "hive_partitioning = true, hive_types = {'day': DATE}, union_by_name = true)"
    )


def _select_samples(folder: Path) -> str:
    if not any((folder / SAMPLES_FOLDER).glob("*.parquet")):
        return select_nothing(SAMPLE_COLUMNS)
    pattern = quote_text(str(folder / SAMPLES_FOLDER / "*.parquet"))
    return (
        f"{select_nothing(SAMPLE_COLUMNS)} union all by name "  # noqa: S608
        f"select * from read_parquet({pattern}, union_by_name = true)"
    )


def quote_text(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(name: str) -> str:
    """Return a text as the name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _explain_missing(folder: Path) -> str:
    # The folder is ROOT/.evalkit/traffic/NAME.
    names = list_traffic(folder.parents[2]) if len(folder.parents) > 2 else []
    message = f"no traffic is stored as {folder.name!r}"
    if not names:
        return f"{message}. Import some: evalkit traffic import FILE --as {folder.name}"
    near = get_close_matches(folder.name, names, n=1)
    if near:
        return f"{message}. Did you mean {near[0]!r}? Stored: {', '.join(names)}."
    return f"{message}. Stored: {', '.join(names)}."
