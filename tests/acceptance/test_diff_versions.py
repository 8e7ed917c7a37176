"""Versions of an agent side by side: which runs count as one version, and what a matrix of versions says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evalkit.compare.matrix import build_matrix
from evalkit.compare.versions import ComparedSide, resolve_side
from evalkit.core.run import MetricInfo, Run, RunHeader
from evalkit.core.spans import Span
from evalkit.report.html.diff import render_diff, render_matrix
from evalkit.report.matrix import matrix_json
from evalkit.report.model import Diff
from evalkit.report.version_matrix import VersionMatrix
from evalkit.store.run_writer import RunWriter
from evalkit.store.seal import Seal
from tests.conftest import ECHO_SET, Project
from tests.report.test_html import tree_of
from tests.report.test_reports import SCHEMA
from tests.report.test_safety import HARMLESS, NAUGHTY, before_each, poison
from tests.support.browser import check_page
from tests.support.report_samples import shown_diff, shown_matrix
from tests.support.run_samples import LATENCY, Cell, make_run

PASSES: Mapping[str, Sequence[Cell]] = {"a": [1, 0], "b": [1, 1]}


def store(
    root: Path,
    run_id: str,
    cells: Mapping[str, Sequence[Cell]] = PASSES,
    *,
    finished: bool = True,
    flags: tuple[str, ...] = (),
    spans: tuple[Span, ...] = (),
    **header: Any,
) -> Run:
    """Store a run of version v1 with one metric."""
    run = make_run({"accuracy": cells}, run_id=run_id)
    given: dict[str, Any] = {"agent_version": "v1", **header}
    run = replace(run, header=replace(run.header, **given))
    with RunWriter.create(root, run.header, Seal()) as writer:
        for trial in run.trials:
            output = replace(trial.output, flags=flags, spans=spans)
            writer.append(replace(trial, output=output))
        if finished:
            writer.finish({})
    return run


def side(root: Path, ref: str = "v1", beside: RunHeader | None = None) -> ComparedSide:
    return resolve_side(ref, root=root, cwd=root, same_set_as=beside)


def test_all_runs_of_a_version_are_trials_of_it(tmp_path: Path) -> None:
    for run_id, passed in (("one", [1, 0]), ("two", [0, 0]), ("three", [1, 1])):
        step = Span(id="s", name=f"of {run_id}")
        store(tmp_path, run_id, {"a": passed, "b": [1, 1]}, spans=(step,))
    found = side(tmp_path)
    assert found.run_ids == ("one", "two", "three")
    assert found.run.header.trials == 6
    values = [t.scores[0].value for t in found.run.trials if t.case_id == "a"]
    assert values == [1, 0, 0, 0, 1, 1]
    assert [t.number for t in found.run.trials if t.case_id == "b"] == [0, 1, 2, 3, 4, 5]
    assert found.notes == ("v1: 3 runs are pooled, 6 trials of every case.",)
    spans = found.read_spans()
    assert [spans["a", n][0].name for n in range(6)] == [
        f"of {name}" for name in ("one", "one", "two", "two", "three", "three")
    ]
    # What names a run means that run alone.
    for ref in ("one", "tw", "latest", ".evalkit/runs/one"):
        assert side(tmp_path, ref).run_ids == ({"tw": "two", "latest": "three"}.get(ref, "one"),)


def info(**changes: Any) -> tuple[MetricInfo, ...]:
    return (replace(MetricInfo(name="accuracy", digest="d"), **changes),)


OTHER_CASES = make_run({"accuracy": {"a": [1, 1], "c": [1, 1]}}).header.cases


@pytest.mark.parametrize(
    ("unlike", "why"),
    [
        ({"finished": False}, "1 run that did not finish or selected only some cases"),
        ({"selection": "--tag x"}, "1 run that did not finish or selected only some cases"),
        ({"shard": "1/2"}, "1 run that did not finish or selected only some cases"),
        ({"metrics": info(digest="x")}, "accuracy was measured differently"),
        (
            {"metrics": info(judge_digest="x", judge="gpt-5")},
            "accuracy was judged by gpt-5",
        ),
        ({"metrics": (*info(), LATENCY)}, "it was scored by other metrics"),
        ({"source_digest": "x"}, "the agent, or code around it, was different"),
        ({"agent_digest": "x"}, "the agent, or code around it, was different"),
        ({"cases": OTHER_CASES}, "the cases were different"),
        ({"flags": ("cached",)}, "cached answers are not new trials"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_a_trial_of_the_same_thing_is_left_out_and_named(
    tmp_path: Path, unlike: dict[str, Any], why: str
) -> None:
    store(tmp_path, "old")
    store(tmp_path, "unlike", **unlike)
    store(tmp_path, "new")
    found = side(tmp_path)
    assert found.run_ids == ("old", "new")
    [said] = [note for note in found.notes if "left out" in note]
    assert why in said
    assert "unlike" in said or "1 run " in said


def test_outputs_that_were_scored_again_count_once(tmp_path: Path) -> None:
    store(tmp_path, "asked", {"a": [0, 0], "b": [0, 0]})
    store(tmp_path, "again", {"a": [1, 0], "b": [0, 0]}, scored_from="asked")
    store(tmp_path, "last", {"a": [1, 1], "b": [0, 0]}, scored_from="again")
    store(tmp_path, "fresh")
    found = side(tmp_path)
    assert found.run_ids == ("last", "fresh")
    assert any("runs again, asked: its outputs count once" in note for note in found.notes)


def test_recorded_answers_count_once_and_a_version_of_parts_has_its_newest(
    tmp_path: Path,
) -> None:
    store(tmp_path, "one", agent_kind="recorded")
    store(tmp_path, "two", agent_kind="recorded")
    assert side(tmp_path).run_ids == ("two",)
    store(tmp_path, "part", agent_version="v2", selection="--tag x")
    store(tmp_path, "newer", agent_version="v2", selection="--tag x")
    assert side(tmp_path, "v2").run_ids == ("newer",)


def test_trials_taken_while_undecided_are_told_of_and_fresh_ones_stay_out(tmp_path: Path) -> None:
    store(tmp_path, "one", looks=3)
    store(tmp_path, "two", trials=1, fresh={"a": 1, "b": 1})
    found = side(tmp_path)
    assert any("1 of them took more trials only while" in note for note in found.notes)
    assert [(t.case_id, t.number) for t in found.run.trials] == [
        ("a", 0),
        ("a", 1),
        ("a", 2),
        ("b", 0),
        ("b", 1),
        ("b", 2),
    ]
    assert not found.run.fresh


def test_of_several_sets_that_of_the_other_side_is_meant(tmp_path: Path) -> None:
    store(tmp_path, "ours")
    other = store(tmp_path, "theirs", evalset_path="other.yaml")
    assert side(tmp_path).run_ids == ("theirs",)
    assert side(tmp_path, beside=other.header).run_ids == ("theirs",)
    ours = replace(other.header, evalset_path="evalsets/support.yaml")
    assert side(tmp_path, beside=ours).run_ids == ("ours",)


# The matrix.


def version(cells: Mapping[str, Sequence[Cell]], **changes: Any) -> Run:
    seconds = {case: [0.5 + sum(map(float, row))] for case, row in cells.items()}
    run = make_run({"accuracy": cells, "latency_s": seconds}, infos=(LATENCY,), tags={"a": ("x",)})
    return replace(run, header=replace(run.header, **changes))


ALL: Mapping[str, Sequence[Cell]] = {"a": [1, 1], "b": [1, 1], "c": [0, 0], "d": [1, 1]}
V1 = version(ALL)
V2 = version({**ALL, "a": [0, 0], "b": [1, 0]})
V3 = version({**ALL, "a": [0, 0], "c": [1, 1]})


def test_a_matrix_holds_every_metric_of_every_version_and_what_changed_since_the_first() -> None:
    laid = build_matrix((V1, V2, V3), ("v1", "v2", "v3"), ("x",))
    assert [(row.metric, row.tag) for row in laid.rows] == [
        ("accuracy", None),
        ("accuracy", "x"),
        ("latency_s", None),
        ("latency_s", "x"),
    ]
    accuracy, tagged, latency, _ = laid.rows
    assert [cell.mean for cell in accuracy.cells] == [0.75, 0.375, 0.75]
    assert [cell.mean for cell in tagged.cells] == [1, 0, 0]
    for cell in (*accuracy.cells, *latency.cells):
        assert cell.low is not None
        assert cell.high is not None
        assert cell.mean is not None
        assert cell.low <= cell.mean <= cell.high
    assert [cell.change and cell.change.difference for cell in accuracy.cells] == [None, -0.375, 0]
    assert [cell.change and cell.change.difference for cell in tagged.cells] == [None, -1, -1]


def test_cases_that_differ_anywhere_come_by_how_many_versions_pass_them() -> None:
    laid = build_matrix((V1, V2, V3), ("v1", "v2", "v3"))
    found = [(case.case_id, case.passing, case.passed, case.trials) for case in laid.cases]
    assert found == [
        ("a", 1, (2, 0, 0), (2, 2, 2)),
        ("c", 1, (0, 0, 2), (2, 2, 2)),
        ("b", 2, (2, 1, 2), (2, 2, 2)),
    ]
    assert not build_matrix((V1, V1, V1), ("v1", "v2", "v3")).cases
    assert laid.notes == ()


def test_only_what_is_the_same_in_all_versions_is_set_side_by_side() -> None:
    other = make_run(
        {"accuracy": {**ALL, "e": [1, 1]}}, digests={"b": "edited"}, tags={"a": ("x",)}
    )
    judged = replace(
        V3, header=replace(V3.header, metrics=(*info(judge_digest="x", judge="other"), LATENCY))
    )
    laid = build_matrix((V1, other, judged), ("v1", "v2", "v3"))
    assert laid.shared == ("a", "c", "d")
    accuracy, latency = laid.rows
    assert [cell.mean is None for cell in accuracy.cells] == [False, False, True]
    assert [cell.mean is None for cell in latency.cells] == [False, True, False]
    assert accuracy.cells[0].mean == pytest.approx(2 / 3)
    assert laid.cases == ()
    assert laid.notes == (
        "Left out, not the same in all versions: 2 cases (b, e).",
        "v2: latency_s is left out: it is not in this version's runs.",
        "v3: accuracy is left out: it was judged by other, elsewhere by no judge.",
        "No cases are compared, because no metric of the gate is measured the same way in all versions.",
    )


# Pages.


@pytest.mark.parametrize(
    ("render", "shown"),
    [(render_diff, shown_diff), (render_matrix, shown_matrix)],
    ids=["diff", "matrix"],
)
def test_data_changes_no_element_of_a_page(render: Any, shown: Any) -> None:
    def shape(text: str) -> list[tuple[str, ...]]:
        tree = tree_of(render(poison(shown(), before_each(text))))
        assert not [key for _, key, _ in tree.attributes if key.startswith("on") or key == "style"]
        return [path for path in tree.shape if not {"ins", "del", "mark"} & set(path)]

    benign = shape(HARMLESS)
    assert len(benign) > 50
    for naughty in NAUGHTY.values():
        assert shape(naughty) == benign


def large_diff() -> Diff:
    diff = shown_diff()
    words = "<&\u202e> long words " * 2000
    [case, *_] = diff.base.header.cases
    [change, *_] = diff.comparison.cases
    [trial, *_] = diff.base.trials
    ids = [f"case {n} & <b>" for n in range(1000)]

    def grow(run: Run, text: str) -> Run:
        cases = tuple(replace(case, id=each, input=words) for each in ids)
        output = replace(trial.output, text=text)
        trials = tuple(replace(trial, case_id=each, number=0, output=output) for each in ids)
        return replace(run, header=replace(run.header, cases=cases), trials=trials)

    changes = tuple(replace(change, case_id=each) for each in ids)
    return replace(
        diff,
        base=grow(diff.base, words),
        candidate=grow(diff.candidate, words[::-1]),
        comparison=replace(diff.comparison, cases=changes),
        detailed_case_ids=(),
    )


def test_a_thousand_changed_cases_stay_under_a_megabyte() -> None:
    page = render_diff(large_diff())
    assert len(page.encode()) < 1_000_000
    assert "700 more cases differ" in page


@pytest.mark.parametrize(
    ("render", "shown"),
    [(render_diff, shown_diff), (render_matrix, shown_matrix)],
    ids=["diff", "matrix"],
)
def test_the_pages_are_readable_in_a_browser(
    browser: Any, tmp_path: Path, render: Any, shown: Any
) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(shown()))
    check_page(browser, page)


# The command.


def test_versions_are_diffed_as_a_user_types_it(project: Project) -> None:
    project.write("echo.yaml", ECHO_SET.replace("expected: ONE}", "expected: ONE, tags: [first]}"))
    for label, answer in (("v1", "text.upper()"), ("v2", "text"), ("v3", "text.upper()[:3]")):
        project.write("agent.py", f"def answer(text):\n    return {answer}\n")
        for _ in range(2 if label == "v1" else 1):
            assert project.evalkit("run", "echo.yaml", "--agent-version", label).code in (0, 1, 3)
    done = project.evalkit(
        *("diff", "v1", "v2", "--case", "two", "--html", "two.html", "--markdown", "two.md"),
        *("--format", "json"),
    )
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    assert [len(done.json["runs"][side]) for side in ("base", "candidate")] == [2, 1]
    assert [case["base_trials"] for case in done.json["comparison"]["cases"]] == [2, 2, 2]
    for name in ("two.html", "two.md"):
        text = (project.folder / name).read_text()
        assert "v1 (2 runs)" in text
        assert "2 runs are pooled, 2 trials of every case" in text
    page = (project.folder / "two.html").read_text()
    assert "<mark>TWO</mark>" in page, "the expected text of an answer that is not alike"
    assert [metric["leaders"] for metric in done.json["metrics"] if metric["tag"] is None]

    files = ("--html", "all.html", "--markdown", "all.md")
    done = project.evalkit(
        "diff", "v1", "v2", "v3", "--tag", "first", "--case", "three", *files, "--format", "json"
    )
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    assert [each["label"] for each in done.json["versions"]] == ["v1", "v2", "v3"]
    rows = {(row["metric"], row["tag"]): row["versions"] for row in done.json["metrics"]}
    assert [cell["mean"] for cell in rows["exact_match", None]] == [1, 0, pytest.approx(2 / 3)]
    assert [cell["mean"] for cell in rows["exact_match", "first"]] == [1, 0, 1]
    assert [(case["case_id"], case["passing"]) for case in done.json["cases"]] == [
        ("three", 1),
        ("one", 2),
        ("two", 2),
    ]
    [texts] = done.json["texts"]
    assert texts["versions"] == ["THREE", "three", "THR"]
    page, text = ((project.folder / name).read_text() for name in ("all.html", "all.md"))
    for shown in (page, text, project.evalkit("diff", "v1", "v2", "v3").out):
        assert "66.7%" in shown
        assert "-100.0 pt" in shown.replace("−", "-")
        assert ("only v1 passes" if shown is page else "1 of 3") in shown
    done = project.evalkit("diff", "v1", "v2", "--tag", "frist")
    assert (done.code, "Did you mean 'first'?" in done.err) == (2, True)


def test_the_matrix_document_gives_every_text_back() -> None:
    shown: VersionMatrix = poison(shown_matrix(), before_each("\u202e<b>\n"))
    document = json.loads(matrix_json(shown))
    assert [each["label"] for each in document["versions"]] == list(shown.labels)
