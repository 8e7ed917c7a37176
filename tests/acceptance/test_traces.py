"""Traces as a user meets them: stored with the run, found, shown, compared, loaded into a notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest

import evalkit
from evalkit.core.serialization import canonical_json, to_json_value
from evalkit.core.spans import Usage
from evalkit.core.trial import AgentError, Output, Score, Trial
from evalkit.store.runs import read_run
from evalkit.trace.tables import select_trials
from tests.conftest import Done, Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())

AGENT = """
    import evalkit, os, time

    def search(query, order):
        with evalkit.span("tool", "search", arguments={"query": query, "password": "p"}) as step:
            step.set(result=["a", "b"])
        with evalkit.span("model", "answer", model="m1", input_tokens=10, output_tokens=2,
                          user_id="u-" + order, prompt="answer-v1", temperature=0.5):
            time.sleep(0.2 if order == "two" else 0)

    def answer(text):
        with evalkit.span("agent", "orders", session_id="s1", note=os.environ["SHOP_API_KEY"]):
            search(text, text)
            try:
                with evalkit.span("tool", "refund_order", arguments={"id": 7}):
                    if text == "two":
                        raise TimeoutError("the desk is closed")
            except TimeoutError:
                return "?"
        return text.upper()
"""
WORSE = AGENT.replace(
    'with evalkit.span("tool", "refund_order"',
    'search("again", text)\n{}with evalkit.span("tool", "cancel"'.format(" " * 16),
)
SECRET = {"SHOP_API_KEY": "very-s3cret-value"}
SET = """
    evalset: desk
    agent: {python: ./agent.py:answer, env: [SHOP_API_KEY]}
    metrics: [exact_match, tokens]
    gate: [{metric: exact_match, min: 0.1, test: point}]
    cases:
      - {id: one, input: one, expected: ONE}
      - {id: two, input: two, expected: TWO}
      - {id: three, input: three, expected: THREE}
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two runs of two versions: three trials each, with four steps and six."""
    made = Project(tmp_path_factory.mktemp("desk"))
    made.write("agent.py", AGENT)
    made.write("worse.py", WORSE)
    made.write("desk.yaml", SET)
    made.write(
        "plain.yaml", SET.replace("agent.py", "plain.py").replace("evalset: desk", "evalset: plain")
    )
    made.write("plain.py", "def answer(text):\n    return text.upper()\n")
    run(made, "desk.yaml", "--agent-version", "v3")
    run(
        made,
        "desk.yaml",
        "--agent",
        "./worse.py:answer",
        "--agent-version",
        "v4",
        "--run-id",
        "later",
    )
    return made


def run(project: Project, *arguments: str) -> Done:
    done = project.evalkit("run", *arguments, env=SECRET)
    assert done.code == 0, done.err + done.out
    return done


def traces(project: Project, *flags: str) -> Any:
    done = project.evalkit("traces", *flags, "--format", "json")
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    return done.json


def found(project: Project, *flags: str) -> set[tuple[str, str]]:
    """Version and case of the traces that flags find."""
    return {(row["agent_version"], row["case_id"]) for row in traces(project, *flags)["rows"]}


def test_spans_are_kept_beside_the_trials_without_any_secret(desk: Project) -> None:
    folder = desk.runs()[0]
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "trials.jsonl", "spans.jsonl", "spans.parquet", "summary.json",
        "gate_result.json",
    }  # fmt: skip
    stored = (folder / "spans.jsonl").read_text()
    assert "very-s3cret-value" not in stored
    assert '"password":"***"' in stored
    assert all("spans" not in row["output"] for row in desk.rows(folder))
    output = desk.rows(folder)[0]["output"]
    assert [call["name"] for call in output["tool_calls"]] == ["search", "refund_order"]
    assert output["usage"] == {"input_tokens": 10, "output_tokens": 2}
    [(spans, trials)] = (
        duckdb.connect()
        .execute(f"select count(*), count(distinct case_id) from '{folder}/spans.parquet'")
        .fetchall()
    )
    assert (spans, trials) == (12, 3)


def test_a_report_has_the_times_of_trials_steps_and_calls(desk: Project) -> None:
    folder = desk.runs()[0]
    done = desk.evalkit("gate", folder.name, "--format", "json")
    jsonschema.validate(done.json, SCHEMA)
    one, two, _ = done.json["cases"]
    [trial] = two["trials"]
    spans = trial["output"]["spans"]
    assert [span["name"] for span in spans] == ["orders", "search", "answer", "refund_order"]
    assert spans[2]["duration_s"] >= 0.2
    assert all(span["arguments"] is None and span["result"] is None for span in spans)
    durations = [call["duration_s"] for call in trial["output"]["tool_calls"]]
    assert durations == [spans[1]["duration_s"], spans[3]["duration_s"]]
    created_s = (folder / "run.json").stat().st_mtime
    finished_s = (folder / "summary.json").stat().st_mtime
    assert created_s - 1 <= trial["started_s"] <= finished_s + 1
    assert 0.2 <= trial["output"]["latency_s"] <= trial["took_s"] <= finished_s - created_s + 1
    assert (one["reason"], two["counts_of"]) == (None, None)
    assert two["reason"] == "expected 'TWO', got '?' (exact_match)"
    [stored] = [row for row in desk.rows(folder) if row["case_id"] == "two"]
    assert (stored["started_s"], stored["took_s"]) == (trial["started_s"], trial["took_s"])


def test_a_page_draws_the_steps_of_both_versions(desk: Project) -> None:
    first = desk.runs()[0].name
    done = desk.evalkit("report", "later", "--baseline", first, "--html", "both.html")
    assert done.code == 0, done.err
    page = (desk.folder / "both.html").read_text()
    assert "steps now, on a time axis" in page
    assert page.count("steps now, on a time axis") == page.count("steps before, on a time axis")


def test_failing_traces_of_a_version_that_used_a_tool_are_one_command(desk: Project) -> None:
    done = desk.evalkit(
        "traces", "--failed", "--agent-version", "v3", "--tool", "refund_order",
        "--error-type", "Timeout", "--slower-than", "0ms", env={"COLUMNS": "140"},
    )  # fmt: skip
    assert done.code == 0
    first, *_ = done.out.splitlines()
    assert first.startswith("1 trace in 2 runs: failed, version v3, tool refund_order")
    assert "TimeoutError: the desk is closed" in done.out
    assert f"evalkit show {desk.runs()[0].name} two" in done.out


@pytest.mark.parametrize(
    ("flags", "versions", "cases"),
    [
        ([], "v3 v4", "one two three"),
        (["--failed"], "v3 v4", "two"),
        (["--agent-version", "v4"], "v4", "one two three"),
        (["--tool", "cancel"], "v4", "one two three"),
        (["--tool", "search", "--error-type", "Timeout"], "", ""),
        (["--error-type", "timeouterror"], "v3 v4", "two"),
        (["--model", "m1", "--user", "u-one"], "v3 v4", "one"),
        (["--tool", "refund_order", "--user", "u-one", "--session", "s1"], "v3", "one"),
        (["--model", "m"], "", ""),
        (["--slower-than", "150ms"], "v3 v4", "two"),
        (["--model", "m1", "--slower-than", "150ms"], "v3 v4", "two"),
        (["--tool", "search", "--slower-than", "150ms"], "", ""),
        (["--case", "three", "--run", "later"], "v4", "three"),
        (["--run", "v3", "--run", ".evalkit/runs/later"], "v3 v4", "one two three"),
        (["--user", "x' or true --"], "", ""),
    ],
)
def test_flags_find_the_traces_they_describe(
    desk: Project, flags: list[str], versions: str, cases: str
) -> None:
    wanted = {(version, case) for version in versions.split() for case in cases.split()}
    assert found(desk, *flags) == wanted


def test_more_traces_than_are_shown_are_counted(desk: Project) -> None:
    answer = traces(desk, "--limit", "2")
    assert (len(answer["rows"]), answer["total"]) == (2, 6)
    assert all(row["run"] == "later" for row in answer["rows"]), "the newest run comes first"
    assert "the newest 2 are shown" in desk.evalkit("traces", "--limit", "2").out


def test_sql_can_ask_anything_of_the_four_views(desk: Project) -> None:
    rows = traces(
        desk,
        "--sql",
        """
        select r.agent_version as version, t.case_id, count(s.id) as steps, any_value(t.passed) as ok,
            any_value(c.value) as score, max(s.arguments->>'$.query') as query
        from runs r join trials t using (run) join spans s using (run, case_id, trial)
            join scores c using (run, case_id, trial)
        where c.metric = 'exact_match' group by all order by 1, 2
        """,
    )["rows"]
    assert [(row["version"], row["case_id"], row["steps"]) for row in rows] == [
        ("v3", "one", 4), ("v3", "three", 4), ("v3", "two", 4),
        ("v4", "one", 6), ("v4", "three", 6), ("v4", "two", 6),
    ]  # fmt: skip
    assert [row["ok"] for row in rows] == [True, True, False] * 2
    assert [row["score"] for row in rows] == [1.0, 1.0, 0.0] * 2
    assert rows[0]["query"] == "one"
    table = desk.evalkit("traces", "--sql", "select 1.5 as half, null as none, [1] as list")
    assert table.out.split("\n\n") == ["  half  none  list\n   1.5     -  [1]", "1 row\n"]


@pytest.mark.parametrize(
    "sql",
    [
        "drop view spans",
        "copy (select 1) to '.evalkit/runs/later/x.csv'",
        "select 1; select 2",
        "set enable_external_access = true",
        "attach 'x.db'",
        "install httpfs",
        "select * from read_text('/etc/hostname')",
        "select * from read_csv('desk.yaml')",
        "select * from glob('/etc/*')",
        "select * from 'http://127.0.0.1:1/x.parquet'",
        "select * from nowhere",
        "select",
        "",
    ],
)
def test_sql_can_change_nothing_and_reach_nothing_else(desk: Project, sql: str) -> None:
    before = sorted(desk.folder.rglob("*"))
    done = desk.evalkit("traces", "--sql", sql)
    assert (done.code, done.out) == (2, ""), done
    assert "--sql" in done.err
    assert sorted(desk.folder.rglob("*")) == before


def test_mistakes_in_flags_are_named(desk: Project) -> None:
    for flags in (
        ["--slower-than", "soon"],
        ["--sql", "select 1", "--failed"],
        ["--run", "nothing"],
    ):
        assert desk.evalkit("traces", *flags).code == 2, flags


def test_show_draws_the_tree_with_what_went_in_out_and_wrong(desk: Project) -> None:
    done = desk.evalkit("show", "v3", "two")
    lines = [line.strip() for line in done.out.splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("trial "))
    words = [line.split("  ")[0] for line in lines[start : start + 9]]
    assert words[:4] == ["trial", "orders", "tool search", "in"]
    assert 'in   {"password": "***", "query": "two"}' in lines
    assert 'out  ["a", "b"]' in lines
    assert "10 + 2 tokens, prompt answer-v1, temperature 0.5" in lines
    assert "TimeoutError: the desk is closed" in lines
    assert all("█" in line for line in lines[start : start + 3])
    document = desk.evalkit("show", "v3", "two", "--format", "json").json
    jsonschema.validate(document, SCHEMA)
    steps = document["trials"][0]["output"]["spans"]
    assert [step["kind"] for step in steps] == ["agent", "tool", "model", "tool"]


def test_diff_puts_two_trees_side_by_side_and_says_where_they_part(desk: Project) -> None:
    done = desk.evalkit("diff", "v3", "v4", "--case", "one", env={"COLUMNS": "120"})
    said = " ".join(done.out.split())
    assert (
        "v4 calls search twice, cancel once and never refund_order; "
        "v3 calls search once, refund_order once and never cancel." in said
    )
    assert "They differ at call 2: v3 calls refund_order, v4 search." in said
    assert any(
        "tool refund_order" in line and " < " in line + " " for line in done.out.splitlines()
    )
    assert any(
        line.strip().startswith("> ") and "tool cancel" in line for line in done.out.splitlines()
    )
    document = desk.evalkit("diff", "v3", "v4", "--case", "one", "--format", "json").json
    jsonschema.validate(document, SCHEMA)
    assert document["texts"][0]["steps"][1].startswith("They differ at call 2")


def test_a_notebook_gets_the_spans_as_a_table(desk: Project) -> None:
    spans = evalkit.load_runs(["v3", "v4"], desk.folder).spans
    assert len(spans) == 12 + 18
    called = spans[spans.kind == "tool"].groupby(["agent_version", "tool"]).size().to_dict()
    assert called == {
        ("v3", "refund_order"): 3, ("v3", "search"): 3, ("v4", "cancel"): 3, ("v4", "search"): 6
    }  # fmt: skip
    assert evalkit.load_run("v3", desk.folder).spans.iloc[0]["name"] == "orders"


def test_a_set_without_spans_never_loads_the_engine_and_says_what_to_do(project: Project) -> None:
    assert project.evalkit("run", "echo.yaml").code == 0
    assert not list(project.folder.rglob("spans*"))
    done = project.evalkit("traces")
    assert (done.code, done.err) == (0, "")
    assert "evalkit.span" in done.out
    code = (
        "import sys\nfrom evalkit.cli.app import main\n"
        "try:\n    main(['traces'])\nexcept SystemExit:\n    pass\nprint('duckdb' in sys.modules)"
    )
    project.write("probe.py", code)
    shown = subprocess.run(
        [sys.executable, "probe.py"], cwd=project.folder, capture_output=True, text=True, check=True
    )
    assert shown.stdout.endswith("False\n")
    assert traces(project, "--sql", "select count(*) as n from spans")["rows"] == [{"n": 0}]
    frames = evalkit.load_run("latest", project.folder)
    assert list(frames.spans.columns)[:5] == ["run", "agent_version", "evalset", "case_id", "trial"]
    assert frames.spans.empty


def test_spans_changed_from_outside_are_noticed_where_they_are_read(
    project: Project,
) -> None:
    project.write("agent.py", AGENT)
    project.write("desk.yaml", SET)
    run(project, "desk.yaml")
    path = project.runs()[0] / "spans.jsonl"
    path.write_text(path.read_text().replace("refund_order", "innocent"))
    for command in (
        ["gate", "latest"],
        ["show", "latest", "two"],
        ["diff", "latest", "latest", "--case", "two"],
    ):
        done = project.evalkit(*command)
        assert done.code == 3
        assert "spans.jsonl" in done.err
    path.unlink()
    assert project.evalkit("show", "latest", "two").code == 3
    path.with_name("spans.parquet").write_bytes(b"PAR1")
    done = project.evalkit("traces")
    assert done.code == 3
    assert "spans.parquet" in done.err


def test_a_resumed_run_has_the_spans_of_all_its_trials(project: Project) -> None:
    """A kill leaves a torn line of spans, or spans of a trial that is not stored: both are mended."""
    project.write("agent.py", AGENT)
    project.write("desk.yaml", SET)
    run(project, "desk.yaml", "--run-id", "a", "--agent-version", "v1")
    folder = project.runs()[0]
    trials = (folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (folder / "trials.jsonl").write_text("".join(trials[:1]) + trials[1][:20])
    spans = (folder / "spans.jsonl").read_text().splitlines(keepends=True)
    (folder / "spans.jsonl").write_text("".join(spans[:2]) + spans[2][:30])
    (folder / "summary.json").unlink()
    (folder / "spans.parquet").unlink()
    assert found(project) == {("v1", json.loads(trials[0])["case_id"])}, "an unfinished run counts"
    run(project, "desk.yaml", "--run-id", "a", "--resume")
    assert {case for _, case in found(project)} == {"one", "two", "three"}
    assert len(evalkit.load_run("a", project.folder).spans) == 12
    assert project.evalkit("show", "a", "two").code == 0


def test_runs_with_and_without_a_parquet_file_are_searched_together(project: Project) -> None:
    project.write("agent.py", AGENT)
    project.write("desk.yaml", SET)
    for version in ("v1", "v2"):
        run(project, "desk.yaml", "--run-id", version, "--agent-version", version)
    (project.runs()[0] / "spans.parquet").unlink()
    expected = {(version, case) for version in ("v1", "v2") for case in ("one", "two", "three")}
    assert found(project) == expected
    assert traces(project, "--sql", "select count(*) from spans")["rows"] == [{"count_star()": 24}]


def test_the_parts_of_a_sharded_run_keep_their_spans_when_they_are_joined(project: Project) -> None:
    project.write("agent.py", AGENT)
    project.write("desk.yaml", SET)
    for part in ("1/2", "2/2"):
        run(project, "desk.yaml", "--shard", part, "--trials", "1", "--run-id", f"p{part[0]}")
    done = project.evalkit("merge", "p1", "p2")
    assert done.code == 0, done.err
    whole = project.runs()[-1]
    assert len(evalkit.load_run(whole.name, project.folder).spans) == 12
    assert len(traces(project, "--run", whole.name)["rows"]) == 3


def test_the_tables_count_a_trial_in_the_state_that_evalkit_counts_it_in(tmp_path: Path) -> None:
    scored = Score(metric="m", value=1.0, passed=True)
    failed = Score(metric="n", value=0.0, passed=False)
    lost = AgentError(kind="timeout", message="slow")
    outputs = {
        "passed": (Output(text="x", usage=Usage(input_tokens=3), cost_usd=0.5), [scored]),
        "failed": (Output(), [scored, failed]),
        "measured": (Output(), [Score(metric="m", value=3.0)]),
        "agent_error": (Output(error=lost), []),
        "judge_error": (Output(), [scored, Score(metric="n", state="judge_error"), Score(state="metric_error")]),
        "metric_error": (Output(), [Score(metric="m", state="metric_error"), failed]),
        "infinite": (Output(), [Score(metric="m", value=1e300, passed=True)]),
        "no value": (Output(), [Score(metric="m", passed=True)]),
        "unscored": (Output(), [scored, Score(metric="m", state="unscored")]),
        "skipped": (Output(), [Score(metric="m", state="skipped")]),
        "advisory fails": (Output(), [scored, replace(failed, advisory=True)]),
        "advisory has no score": (Output(), [scored, Score(metric="n", state="judge_error", advisory=True)]),
        "advisory is infinite": (Output(), [scored, Score(metric="n", value=1e300, passed=False, advisory=True)]),
        "only advisory": (Output(), [Score(metric="n", state="unscored", advisory=True)]),
        "nothing": (Output(), []),
    }  # fmt: skip
    trials = {
        name: Trial(case_id=name, number=0, output=output, scores=tuple(scores))
        for name, (output, scores) in outputs.items()
    }
    (tmp_path / "run.json").write_text('{"id": "r", "agent_version": "v"}')
    lines = [canonical_json(to_json_value(trial)) for trial in (trials["failed"], *trials.values())]
    (tmp_path / "trials.jsonl").write_text("\n".join(lines) + '\n{"case_id": "torn", "num')
    rows = duckdb.connect().execute(select_trials([tmp_path])).fetchall()
    states = {row[3]: (row[5], row[6]) for row in rows}
    assert states == {name: (trial.state, trial.passed) for name, trial in trials.items()}
    assert len(rows) == len(trials), "of two rows for one trial the last counts"


def test_what_is_left_out_of_a_trace_is_told_with_the_run(project: Project) -> None:
    project.write(
        "agent.py",
        """
        import evalkit

        def answer(text):
            for number in range(1500 if text == "two" else 1):
                with evalkit.span("tool", "t", note="x" * (20_000 if number == 0 else 0)):
                    pass
            return text.upper()
        """,
    )
    done = project.evalkit("run", "echo.yaml", "--format", "json")
    assert done.code == 0
    assert done.json["notes"] == [
        "1 trial sent more spans than evalkit stores for one trial: 500 dropped.",
        "3 trials sent values longer than evalkit stores: 3 cut.",
    ]
    assert "spans_dropped=500" in project.evalkit("show", "latest", "two").out


def test_a_rescored_run_still_has_its_spans(desk: Project) -> None:
    done = desk.evalkit("score", "v3", env=SECRET)
    assert done.code == 0, done.err
    newest = desk.runs()[-1]
    try:
        assert len(evalkit.load_run(newest.name, desk.folder).spans) == 12
        assert read_run(newest).finished
    finally:
        for path in newest.iterdir():
            path.unlink()
        newest.rmdir()


RETURNING = """
    import evalkit

    def answer(text):
        calls = [
            {"name": "look", "arguments": {"id": text}, "result": [1]},
            {"name": "pay", "error": "TimeoutError: slow", "duration_s": 2.5},
        ]
        if text == "one":
            with evalkit.span("tool", "look", arguments={"id": "by span"}):
                pass
        return {"output": text.upper(), "tool_calls": [] if text == "three" else calls}
"""


def test_calls_that_an_agent_returns_are_found_like_spans_and_none_twice(project: Project) -> None:
    project.write("agent.py", RETURNING)
    run(project, "echo.yaml", "--agent-version", "v1")
    for stored_by_column in (True, False):
        sql = "select case_id, tool, kind, error, arguments->>'$.id' as id, duration_s from spans"
        rows = traces(project, "--sql", f"{sql} order by case_id, tool")["rows"]
        timed = [(row["case_id"], row["tool"], row["id"], row["error"]) for row in rows]
        assert timed == [
            ("one", "look", "by span", ""),
            ("one", "pay", None, "TimeoutError: slow"),
            ("two", "look", "two", ""),
            ("two", "pay", None, "TimeoutError: slow"),
        ]
        assert {row["kind"] for row in rows} == {"tool"}
        assert [row["duration_s"] for row in rows][1:] == [2.5, None, 2.5]
        assert found(project, "--tool", "pay", "--slower-than", "2s") == {
            ("v1", "one"),
            ("v1", "two"),
        }
        assert found(project, "--tool", "look") == {("v1", "one"), ("v1", "two")}
        [folder] = project.runs()
        (folder / "spans.parquet").unlink(missing_ok=True)
        if stored_by_column:
            assert traces(project, "--tool", "pay")["rows"][0]["steps"] == 2
    (folder / "spans.jsonl").unlink()
    assert found(project, "--tool", "look") == {("v1", "one"), ("v1", "two")}
