"""Find what newly failing cases of a failed run have in common, from its steps and the baseline's."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from evalkit.compare.breakage import Breakage, find_breakage
from evalkit.core.errors import StoreError
from evalkit.core.gate_result import GateResult
from evalkit.core.git import read_git
from evalkit.core.run import Run
from evalkit.evalset.project import Project
from evalkit.store.run_spans import attach_spans, read_run_spans
from evalkit.store.runs import runs_folder
from evalkit.store.span_file import SpansByTrial

_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def explain_failure(
    run: Run,
    result: GateResult,
    baseline: Run | None,
    project: Project,
    base_spans: SpansByTrial,
) -> Breakage | None:
    """Return where the newly failing cases of a run differ first; None if no threshold failed.

    The outputs of the run have their spans; `base_spans` are those of the baseline.
    """
    failed = any(check.outcome == "fail" and not check.advisory for check in result.checks)
    if baseline is None or result.comparison is None or not failed:
        return None
    return find_breakage(
        result.comparison.cases,
        attach_spans(baseline, base_spans),
        run,
        _list_changed_files(baseline, run, project),
    )


def read_baseline_spans(baseline: Run | None, root: Path) -> SpansByTrial:
    """Return the spans of the baseline's run; empty if that is not stored here."""
    if baseline is None:
        return {}
    folder = runs_folder(root) / baseline.header.id
    stored = replace(baseline, path=str(folder)) if baseline.path.endswith(".jsonl") else baseline
    try:
        return read_run_spans(stored)
    except StoreError:
        # The tool calls in the baseline remain, and no result depends on the spans.
        return {}


def _list_changed_files(baseline: Run, run: Run, project: Project) -> Set[str]:
    """Return the files that differ between the commits of two runs; empty if a commit is not here."""
    if not any(trial.output.spans for trial in run.trials):
        return frozenset()
    commits = baseline.header.git_commit, run.header.git_commit
    if not all(map(_COMMIT.fullmatch, commits)):
        return frozenset()
    command = ("diff-tree", "-r", "--name-only", "--no-renames", "--no-textconv", "-z")
    found = read_git(project.root, project.environ, *command, *commits)
    return frozenset(filter(None, found.decode(errors="replace").split("\0")))
