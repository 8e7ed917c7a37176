"""Stored traffic as views of DuckDB."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from evalkit.core.errors import InvalidInput
from evalkit.traffic.columns import TABLES
from evalkit.traffic.table import (
    IMPORTS_FILE,
    PART_FILE,
    list_traffic,
    open_traffic,
    traffic_folder,
)


def make_store(root: Path, name: str) -> Path:
    folder = traffic_folder(root, name)
    folder.mkdir(parents=True)
    (folder / IMPORTS_FILE).write_text("")
    return folder


def test_an_empty_store_has_typed_views(tmp_path: Path) -> None:
    with open_traffic(make_store(tmp_path, "prod")) as connection:
        for table, columns in TABLES.items():
            found = connection.execute(f"select * from {table}")
            names = [column[0] for column in found.description or ()]
            assert names == [*columns, "day"]
            assert found.fetchall() == []


def test_a_part_of_an_older_version_lacks_columns(tmp_path: Path) -> None:
    folder = make_store(tmp_path, "prod")
    day = folder / "requests" / "day=2026-11-02"
    day.mkdir(parents=True)
    duckdb.execute(f"copy (select 'a' as request_id) to '{day / PART_FILE}'")
    with open_traffic(folder) as connection:
        row = connection.execute('select request_id, "user", tools, day::text from requests')
        assert row.fetchall() == [("a", None, None, "2026-11-02")]


def test_the_connection_reads_the_store_only(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n")
    with (
        open_traffic(make_store(tmp_path, "prod")) as connection,
        pytest.raises(duckdb.Error),
    ):
        connection.execute(f"select * from read_csv('{tmp_path / 'other.csv'}')")


def test_an_unknown_name_lists_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="traffic import FILE --as prod"):
        open_traffic(traffic_folder(tmp_path, "prod"))
    make_store(tmp_path, "prod-w47")
    make_store(tmp_path, "beta")
    assert list_traffic(tmp_path) == ["beta", "prod-w47"]
    with pytest.raises(InvalidInput, match="Did you mean 'prod-w47'"):
        open_traffic(traffic_folder(tmp_path, "prod-w48"))


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "a b"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="not a name"):
        traffic_folder(tmp_path, name)
