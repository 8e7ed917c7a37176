"""The section `traffic:` of a project file."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.core.eval_set import TrafficSection
from evalkit.core.location import Problem
from evalkit.evalset.loader import PROJECT_FILE, load_evalset, load_project


def _load(folder: Path, text: str) -> tuple[TrafficSection | None, list[Problem]]:
    (folder / PROJECT_FILE).write_text(text)
    problems: list[Problem] = []
    return load_project(folder / "_", folder, problems).traffic, problems


def test_thresholds_have_the_words_of_other_gates(tmp_path: Path) -> None:
    section, problems = _load(
        tmp_path,
        "traffic:\n  maturity_h: 24\n  gate:\n"
        "    - {metric: escalation_rate, max_rise: 0.02}\n"
        "    - {metric: success_rate, max_drop: 0, margin: 0.01, primary: true}\n"
        "    - {metric: latency_s, stat: p95, max: 4}\n",
    )
    assert problems == []
    assert section is not None
    rise, drop, limit = section.gate
    # Much traffic is measured, so no more is tolerated than the limit says.
    assert (rise.max_rise, rise.margin) == (0.02, 0.02)
    assert (drop.max_drop, drop.margin, drop.primary) == (0, 0.01, True)
    assert (limit.stat, limit.max) == ("p95", 4)
    assert (section.maturity_h, section.on_inconclusive) == (24, "fail")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{}", "gate is missing"),
        ("{gate: []}", "no threshold, so everything would pass"),
        ("{gate: [{metric: error_rate}]}", "without a limit lets everything pass"),
        ("{gate: [{max: 1}]}", "metric is missing"),
        ("{gate: [{metric: error_rate, max: 1, max_rise: 0}]}", "both max and max_rise"),
        ("{gate: [{metric: error_rate, max: }]}", "max is empty"),
        ("{gate: [{metric: error_rate, max_rise: 0}]}", "can rule out a change of 0"),
        ("{gate: [{metric: error_rate, max: 0.1, margin: 0.1}]}", "margin belongs to"),
        ("{gate: [{metric: error_rate, max_rise: 0.1, tag: a}]}", "unknown key 'tag'"),
        ("{gate: [{metric: a, max: 1, primary: true}, {metric: b, max: 1, primary: true}]}",
         "a second rule is primary"),
        ("[1]", "must be a mapping"),
    ],
)  # fmt: skip
def test_a_threshold_that_decides_nothing_is_a_problem(
    tmp_path: Path, section: str, message: str
) -> None:
    _, problems = _load(tmp_path, f"traffic: {section}\n")
    assert len(problems) == 1
    assert message in str(problems[0])
    assert str(problems[0].where).endswith(f"{PROJECT_FILE}:1")


def test_a_set_has_no_thresholds_for_traffic(tmp_path: Path) -> None:
    (tmp_path / "set.yaml").write_text(
        "traffic: {gate: []}\ncases: [{id: a, input: q, expected: b}]\n"
    )
    _, problems = load_evalset(tmp_path / "set.yaml", root=tmp_path)
    assert len(problems) == 1
    assert "unknown key 'traffic'" in str(problems[0])
