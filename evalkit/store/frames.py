"""Load stored runs as pandas DataFrames, for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from evalkit.core.run import Run
from evalkit.core.spans import Span
from evalkit.evalset.project import Project
from evalkit.store.refs import resolve_run
from evalkit.store.run_spans import read_run_spans

SPAN_COLUMNS = ["run", "agent_version", "case", "trial", *Span.__slots__]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """A run as three tables, joined on `run`, `case` and `trial`.

    `trials`: run, agent_version, case, trial, tags, state, passed, text, latency_s, first_token_s,
    cost_usd, input_tokens, output_tokens, attempts, error. `scores`: run, agent_version, case, trial, metric,
    state, value, passed, explanation. `spans`: run, agent_version, case, trial, and the fields of
    `evalkit.Span`; empty where the agent reports no spans.
    """

    trials: pd.DataFrame
    scores: pd.DataFrame
    spans: pd.DataFrame


def load_run(ref: str, folder: str | Path = ".") -> Frames:
    """Read one run, named as on the command line (`latest`, an id, a path, `baseline`...).

    Raises:
        InvalidInput: no run has that name.
        StoreError: it cannot be read.
    """
    return load_runs([ref], folder)


def load_runs(refs: list[str], folder: str | Path = ".") -> Frames:
    """Read several runs into common tables.

    Raises:
        InvalidInput: no run has one of the names.
        StoreError: one cannot be read.
    """
    start = Path(folder)
    project = Project(start, start, {})
    runs = [resolve_run(ref, root=project.root, cwd=start) for ref in refs]
    return Frames(
        trials=pd.DataFrame([row for run in runs for row in _trial_rows(run)]),
        scores=pd.DataFrame([row for run in runs for row in _score_rows(run)]),
        spans=pd.DataFrame([row for run in runs for row in _span_rows(run)], columns=SPAN_COLUMNS),
    )


Row: TypeAlias = dict[str, object]


def _run_columns(run: Run, case_id: str, number: int) -> Row:
    return {
        "run": run.header.id,
        "agent_version": run.header.agent_version,
        "case": case_id,
        "trial": number,
    }


def _trial_rows(run: Run) -> list[Row]:
    tags = {case.id: case.tags for case in run.header.cases}
    return [
        {
            **_run_columns(run, trial.case_id, trial.number),
            "tags": tags[trial.case_id],
            "state": trial.state,
            "passed": trial.passed,
            "text": trial.output.text,
            "latency_s": trial.output.latency_s,
            "first_token_s": trial.output.first_token_s,
            "cost_usd": trial.output.cost_usd,
            "input_tokens": trial.output.usage.input_tokens if trial.output.usage else None,
            "output_tokens": trial.output.usage.output_tokens if trial.output.usage else None,
            "attempts": trial.attempts,
            "error": trial.output.error.kind if trial.output.error else None,
        }
        for trial in run.trials
    ]


def _span_rows(run: Run) -> list[Row]:
    return [
        _run_columns(run, *trial) | {name: getattr(span, name) for name in Span.__slots__}
        for trial, spans in read_run_spans(run).items()
        for span in spans
    ]


def _score_rows(run: Run) -> list[Row]:
    return [
        {
            **_run_columns(run, trial.case_id, trial.number),
            "metric": score.metric,
            "state": score.state,
            "value": score.value,
            "passed": score.passed,
            "explanation": score.explanation,
        }
        for trial in run.trials
        for score in trial.scores
    ]
