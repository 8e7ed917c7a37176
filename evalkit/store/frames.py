"""Turn runs into pandas DataFrames that have the columns of the SQL views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.run import Run
from evalkit.core.serialization import to_json_value
from evalkit.core.spans import Span
from evalkit.core.trial import Trial
from evalkit.store.run_spans import read_run_spans
from evalkit.trace.columns import SCORE_COLUMNS, SPAN_TABLE_COLUMNS, TRIAL_COLUMNS

CASE_COLUMNS = (
    "run",
    "agent_version",
    "evalset",
    "case_id",
    "tags",
    "cluster",
    "input",
    "expected",
    "trials",
    "scored",
    "passed",
    "pass_rate",
)

_TYPES = {
    **dict.fromkeys(("first_token_s", "cost_usd", "value", "temperature"), "float64"),
    **dict.fromkeys(("input_tokens", "output_tokens"), "Int64"),
}
"""The types of columns that may lack values, so that means and sums can be computed."""

Row: TypeAlias = dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Runs as four tables, joined on `run`, `case_id`, and `trial`.

    `trials`, `scores`, and `spans` have the columns of the views of `evalkit traces --sql`: see
    `evalkit.trace.columns`. `trials` has the tags of the case as well. `spans` is empty where the agent reports
    none. `cases` has one row for each run and case, with the number of its trials, of those that were
    completely scored, of those that passed, and `pass_rate`, the share of the scored ones that passed (NaN
    without any).
    """

    cases: pd.DataFrame
    trials: pd.DataFrame
    scores: pd.DataFrame
    spans: pd.DataFrame


def build_frames(runs: Sequence[Run]) -> Frames:
    """Return several runs in common tables.

    Raises:
        StoreError: the spans of a run cannot be read, or were changed.
    """
    return Frames(
        cases=_to_frame((row for run in runs for row in _case_rows(run)), CASE_COLUMNS),
        trials=_to_frame(
            (row for run in runs for row in _trial_rows(run)), (*TRIAL_COLUMNS, "tags")
        ),
        scores=_to_frame((row for run in runs for row in _score_rows(run)), SCORE_COLUMNS),
        spans=_to_frame((row for run in runs for row in _span_rows(run)), list(SPAN_TABLE_COLUMNS)),
    )


def _to_frame(rows: Iterator[Row], columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(columns))
    return frame.astype({name: kind for name, kind in _TYPES.items() if name in columns})


def _run_columns(run: Run) -> Row:
    header = run.header
    return {"run": header.id, "agent_version": header.agent_version, "evalset": header.evalset}


def _key_columns(run: Run, case_id: str, number: int) -> Row:
    return _run_columns(run) | {"case_id": case_id, "trial": number}


def _case_rows(run: Run) -> Iterator[Row]:
    trials: dict[str, list[Trial]] = {case.id: [] for case in run.header.cases}
    for trial in run.trials:
        trials[trial.case_id].append(trial)
    for case in run.header.cases:
        own = trials[case.id]
        scored = sum(trial.state == "scored" for trial in own)
        passed = sum(trial.passed for trial in own)
        yield _run_columns(run) | {
            "case_id": case.id,
            "tags": case.tags,
            "cluster": case.cluster,
            "input": _input_value(case),
            "expected": case.expected,
            "trials": len(own),
            "scored": scored,
            "passed": passed,
            "pass_rate": passed / scored if scored else float("nan"),
        }


def _input_value(case: Case) -> Json:
    """Return the text of a case, or its turns as mappings."""
    return case.input if isinstance(case.input, str) else to_json_value(case.input)


def _trial_rows(run: Run) -> Iterator[Row]:
    tags = {case.id: case.tags for case in run.header.cases}
    for trial in run.trials:
        output, usage = trial.output, trial.output.usage
        yield _key_columns(run, trial.case_id, trial.number) | {
            "state": trial.state,
            "passed": trial.passed,
            "text": output.text,
            "latency_s": output.latency_s,
            "first_token_s": output.first_token_s,
            "cost_usd": output.cost_usd,
            "input_tokens": usage.input_tokens if usage else None,
            "output_tokens": usage.output_tokens if usage else None,
            "attempts": trial.attempts,
            "error_type": output.error.kind if output.error else "",
            "error": output.error.message if output.error else "",
            "tags": tags[trial.case_id],
        }


def _score_rows(run: Run) -> Iterator[Row]:
    for trial in run.trials:
        for score in trial.scores:
            yield _key_columns(run, trial.case_id, trial.number) | {
                "metric": score.metric,
                "state": score.state,
                "value": score.value,
                "passed": score.passed,
                "explanation": score.explanation,
            }


def _span_rows(run: Run) -> Iterator[Row]:
    trials = {(trial.case_id, trial.number): trial for trial in (*run.trials, *run.fresh)}
    for key, spans in read_run_spans(run).items():
        trial = trials.get(key)
        if trial is None:  # the run ended before the trial was stored
            continue
        error = trial.output.error
        of_trial = _key_columns(run, *key) | {
            "state": trial.state,
            "passed": trial.passed,
            "trial_latency_s": trial.output.latency_s,
            "trial_error_type": error.kind if error else "",
        }
        for span in spans:
            yield of_trial | {name: getattr(span, name) for name in Span.__slots__}
