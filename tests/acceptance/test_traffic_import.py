"""`evalkit traffic import`, as a user types it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.traffic.table import open_traffic
from tests.conftest import Project
from tests.support.traffic_samples import export, span, support_request, write_lines

KEY = "a-key-for-tests-only-0123456789"


@pytest.fixture(autouse=True)
def redaction_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_REDACTION_KEY", KEY)


def query(root: Path, sql: str, name: str = "prod") -> list[tuple[Any, ...]]:
    with open_traffic(root / ".evalkit" / "traffic" / name) as connection:
        return connection.execute(sql).fetchall()


def read_files(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def test_traces_become_requests_and_a_second_import_adds_nothing(project: Project) -> None:
    exports = [
        export(support_request(number, day=number % 2, failed=number == 3), service__version="v3")
        for number in range(10)
    ]
    write_lines(project.folder / "all.jsonl", exports[:8])
    (project.folder / "more.jsonl.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, exports[5:])).encode())
    )
    done = project.evalkit("traffic", "import", "all.jsonl", "--as", "prod")
    assert done.code == 0, done.err
    assert "all.jsonl: 8 records of otlp, 2026-11-01 08:00" in done.out
    assert "Added 8 requests, 40 spans, 0 ratings." in done.out
    # Nobody commits traffic by mistake.
    assert (project.folder / ".evalkit" / ".gitignore").read_text() == "*\n"
    before = read_files(project.folder / ".evalkit" / "traffic")

    again = project.evalkit("traffic", "import", "all.jsonl", "--as", "prod")
    assert again.code == 0
    assert "already imported" in again.out
    assert read_files(project.folder / ".evalkit" / "traffic") == before

    # The other file overlaps with the first one.
    more = project.evalkit("traffic", "import", "more.jsonl.gz", "--as", "prod")
    assert "Added 2 requests, 10 spans, 0 ratings." in more.out
    [row] = query(
        project.folder,
        "select count(*), count(distinct request_id), count(distinct day), sum(input_tokens), "
        "sum(output_tokens), count(*) filter (not ok), any_value(version), any_value(version_from), "
        "count(*) filter (tools = ['get_order']), min(latency_ms), bool_or(incomplete) from requests",
    )
    # The agent repeats the tokens of its two model calls, which count once.
    assert row == (10, 10, 2, 2000, 400, 1, "v3", "service.version", 10, 2000.0, False)
    [(asked, answered, cost_from)] = query(
        project.folder,
        "select input, output, cost_from from requests where not ok and error_text = 'no answer'",
    )
    assert (asked, answered) == ("Where is my order 3?", "Order 3 is on its way.")
    assert cost_from == "computed"


def test_damage_is_reported_by_line_and_skipped_only_if_asked(project: Project) -> None:
    good = json.dumps(export(support_request(1)))
    bad = json.dumps(export([span("x", 1)])).replace('"startTimeUnixNano"', '"jane@example.org"')
    (project.folder / "in.jsonl").write_text(f'{good}\n{{"resourceSpans": [\n{bad}\n{good[:-9]}')
    done = project.evalkit("traffic", "import", "in.jsonl", "--as", "prod")
    assert done.code == 2
    lines = done.err.splitlines()
    assert [line.partition(" ")[0] for line in lines[:3]] == [
        "in.jsonl:2:",
        "in.jsonl:3:",
        "in.jsonl:4:",
    ]
    assert "--lenient" in lines[3]
    assert "jane" not in done.err
    assert not (project.folder / ".evalkit" / "traffic" / "prod").exists()

    lenient = project.evalkit(
        "traffic", "import", "in.jsonl", "--as", "prod", "--lenient", "--json"
    )
    assert lenient.code == 0
    [record] = json.loads(lenient.out)["imported"]
    assert (record["rows"], record["accepted"], sum(record["rejected"].values())) == (4, 1, 3)
    assert query(project.folder, "select count(*) from requests") == [(1,)]


def test_nothing_personal_is_stored_unless_it_is_kept(project: Project) -> None:
    text = "Mail jane.roe@example.org, the key is ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    found = span(
        f"{7:032x}", 1, gen_ai__operation__name="invoke_agent", input__value=text,
        output__value="Done.", user__id="jane-roe-17", http__request__header__cookie="c=secretive",
    )  # fmt: skip
    write_lines(project.folder / "in.jsonl", [export([found])])
    done = project.evalkit("traffic", "import", "in.jsonl", "--as", "prod")
    assert done.code == 0, done.err
    assert "email" in done.out
    with open_traffic(project.folder / ".evalkit/traffic/prod") as connection:
        everything = str(
            [
                connection.execute(f"select * from {each}").fetchall()
                for each in ("requests", "spans")
            ]
        )
    for secret in ("jane.roe@example.org", "ghp_a1B2", "jane-roe-17", "secretive"):
        assert secret not in everything
    log = (project.folder / ".evalkit/traffic/prod/imports.jsonl").read_text()
    assert '"email":' in log

    (project.folder / "log.csv").write_text(
        "id,ts,input,tools\njane.roe@example.org,1793520000,Hello,jane.roe@example.org\n"
    )
    done = project.evalkit("traffic", "import", "log.csv", "--as", "table", "--map", "ts=ts")
    assert done.code == 0, done.err
    [(request_id, tools)] = query(project.folder, "select request_id, tools from requests", "table")
    assert "jane" not in f"{request_id} {tools}"

    project.evalkit("traffic", "import", "in.jsonl", "--as", "kept", "--keep-pii")
    [(user, asked)] = query(project.folder, 'select "user", input from requests', "kept")
    assert user == "jane-roe-17"
    assert "jane.roe@example.org" in asked
    assert "ghp_" not in asked


def test_any_table_is_imported_by_a_map(project: Project) -> None:
    (project.folder / "log.csv").write_text(
        "when;question;answer;who;build;rating;handed_over;secs\n"
        "2026-11-02T10:00:00Z;Where is it?;On its way.;u1;v7;1;no;2.5\n"
        "2026-11-02 11:00;Help!;A person will call.;u2;v7;-1;yes;4\n"
    )
    mapping = (
        "ts=when,input=question,output=answer,user=who,version=build,feedback=rating,"
        "escalated=handed_over,latency_s=secs"
    )
    done = project.evalkit("traffic", "import", "log.csv", "--as", "prod", "--map", mapping)
    assert done.code == 0, done.err
    assert "Added 2 requests, 0 spans, 2 ratings." in done.out
    rows = query(
        project.folder,
        "select input, version, latency_ms, escalated, good, ok from requests "
        "join feedback using (request_id) order by requests.ts",
    )
    assert rows == [
        ("Where is it?", "v7", 2500.0, False, True, None),
        ("Help!", "v7", 4000.0, True, False, None),
    ]


def test_mistakes_of_usage_say_what_to_do(project: Project) -> None:
    (project.folder / "log.csv").write_text("a,b\n1,2\n")
    (project.folder / "empty.jsonl").write_text("")
    (project.folder / "bad.jsonl").write_text('{"a": }\n')
    for arguments, words in (
        (("log.csv", "--as", "prod"), "--map input=question"),
        (("log.csv", "--as", "a/b"), "not a name"),
        (("lgo.csv", "--as", "prod"), "did you mean 'log.csv'"),
        (("log.csv", "--as", "prod", "--map", "inptu=a"), "Did you mean 'input'?"),
        (("log.csv", "--as", "prod", "--map", "input"), "FIELD=COLUMN"),
        (("log.csv", "--as", "prod", "--format", "langfus"), "Did you mean 'langfuse'?"),
        (("empty.jsonl", "--as", "prod"), "no records"),
        ((".", "--as", "prod"), "is a folder"),
        (("bad.jsonl", "--as", "prod", "--lenient"), "no record can be read as otlp"),
        (("log.csv", "empty.jsonl", "--as", "prod"), "empty.jsonl: the file has no records"),
    ):
        done = project.evalkit("traffic", "import", *arguments)
        assert done.code == 2, arguments
        assert words in done.err, done.err
        assert "Traceback" not in done.err
    assert not list(project.folder.glob(".evalkit/traffic/*/*"))
