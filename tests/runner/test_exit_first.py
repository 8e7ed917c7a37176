"""A run with `exit_first` starts no trial after a failed one, and is never green."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import pytest

from evalkit.ci.base import GateChoice
from evalkit.commands.run import ComparisonOptions, run
from evalkit.core.context import Context
from evalkit.core.settings import SettingsOverrides
from evalkit.report.model import Report
from evalkit.runner.records import RunOptions, RunRequest
from evalkit.store.refs import BaselineChoice

AGENT = "def answer(text):\n    return 'wrong' if text == 'b' else text\n"


def run_set(
    folder: Path, gate: str, *, ids: str = "abcdefgh", exit_first: bool = True, resume: bool = False
) -> Report:
    (folder / "agent.py").write_text(AGENT)
    cases = "\n".join(f"- {{id: {name}, input: {name}, expected: {name}}}" for name in ids)
    head = "agent: {python: './agent.py:answer'}\nconcurrency: 1\n"
    (folder / "set.yaml").write_text(dedent(f"{head}gate: [{gate}]\ncases:\n{cases}\n"))
    context = Context(
        cwd=folder,
        environ=dict(os.environ),
        now=lambda: datetime.now(UTC),
        token=lambda: "t",
        open_progress=lambda _total: contextlib.nullcontext(),  # type: ignore[arg-type,return-value]
        say=print,
    )
    options = RunOptions(run_id="r", exit_first=exit_first, resume=resume)
    request = RunRequest(path=folder / "set.yaml", overrides=SettingsOverrides(trials=1))
    comparison = ComparisonOptions(gate=GateChoice(), baseline=BaselineChoice())
    return run(request, options, comparison, context)


def test_no_trial_starts_after_the_first_failure(tmp_path: Path) -> None:
    report = run_set(tmp_path, "{metric: exact_match, min: 0.1}")
    assert len(report.run.trials) < 8
    assert not report.run.finished
    assert report.gate_result.exit_code == 3
    assert report.gate_result.reason.startswith("stopped at the first failure, after ")


def test_a_failure_that_is_certain_is_reported(tmp_path: Path) -> None:
    result = run_set(tmp_path, "{must_pass: all}").gate_result
    assert result.exit_code == 3
    assert [check.outcome for check in result.checks] == ["fail"]


def test_the_run_can_be_resumed(tmp_path: Path) -> None:
    run_set(tmp_path, "{metric: exact_match, min: 0.1}")
    report = run_set(tmp_path, "{metric: exact_match, min: 0.1}", resume=True)
    assert report.run.finished
    assert report.gate_result.exit_code == 0


@pytest.mark.parametrize(("ids", "exit_first"), [("acdefghb", True), ("abcdefgh", False)])
def test_a_run_with_nothing_left_to_start_is_complete(
    tmp_path: Path, ids: str, *, exit_first: bool
) -> None:
    report = run_set(tmp_path, "{metric: exact_match, min: 0.1}", ids=ids, exit_first=exit_first)
    assert report.run.finished
    assert report.gate_result.exit_code == 0
