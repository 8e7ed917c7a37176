"""Import a run from an untrusted machine: only its outputs may be scored.

The author of such a run could write anything into its files: other thresholds, fewer cases, better scores.
None of that is used. The local eval set defines the cases and the gate; the run must provide an output for
every trial of every case, or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evalkit.core.errors import Undecidable
from evalkit.core.eval_set import Case, EvalSet
from evalkit.core.run import Run, RunHeader
from evalkit.core.trial import Trial

_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

MAX_TRIALS = 100
"""Trials of one case. Each is scored, perhaps by a judge that costs money."""


def import_outputs(run: Run, evalset: EvalSet, path: str) -> Run:
    """Return the run's outputs for the cases of a set, as a complete run of the set without scores.

    Cases that the set does not have are left out.

    Raises:
        Undecidable: the run is incomplete, or its cases differ from the local set; names every problem.
    """
    problems = list(_find_problems(run, evalset, path))
    if problems:
        raise Undecidable(
            f"run {run.header.id} cannot be scored for {path}: {'; '.join(problems)}. "
            f"Make it on the same cases with: evalkit ask {path}"
        )
    wanted = {case.id for case in evalset.cases}
    rows = [row for row in run.trials if row.case_id in wanted]
    return Run(
        header=_sanitize_header(run.header, evalset, path),
        trials=tuple(
            Trial(case_id=row.case_id, number=row.number, output=row.output) for row in rows
        ),
        path=run.path,
        warnings=run.warnings,
    )


def _find_problems(run: Run, evalset: EvalSet, path: str) -> Iterator[str]:
    header = run.header
    if header.evalset_path != path:
        yield f"it is a run of {header.evalset_path}"
    if not run.finished:
        yield "it is unfinished"
    if header.shard or header.selection:
        yield f"it covers only a part of the set ({header.shard or header.selection})"
    if header.looks:
        yield "its number of trials was decided while it ran"
    if not 1 <= header.trials <= MAX_TRIALS:
        # Without this return, `due` below would be as long as the run claims.
        yield f"it has {header.trials:,} trials per case, not 1 to {MAX_TRIALS}"
        return
    # Expected values may differ: the local set decides them. The inputs may not.
    asked = {case.id: case for case in header.cases}
    other = [case.id for case in evalset.cases if not _has_same_input(asked.get(case.id), case)]
    if other:
        yield f"{len(other):,} cases are missing or have other inputs here ({_format_ids(other)})"
    numbers: dict[str, list[int]] = {}
    for row in run.trials:
        numbers.setdefault(row.case_id, []).append(row.number)
    due = list(range(header.trials))
    uneven = [case.id for case in evalset.cases if sorted(numbers.get(case.id, [])) != due]
    if uneven:
        yield f"{len(uneven):,} cases do not have {header.trials:,} trials each ({_format_ids(uneven)})"


def _has_same_input(asked: Case | None, case: Case) -> bool:
    return asked is not None and (asked.input, asked.metadata) == (case.input, case.metadata)


def _format_ids(case_ids: list[str]) -> str:
    return ", ".join(case_ids[:5]) + (", ..." if len(case_ids) > 5 else "")


def _sanitize_header(header: RunHeader, evalset: EvalSet, path: str) -> RunHeader:
    """Return a header for the local set, with the id, the trial count and the displayed texts of the run."""
    return RunHeader(
        # Reports suggest commands that contain the id.
        id=header.id if _PLAIN_ID.fullmatch(header.id) else "from-elsewhere",
        evalset=evalset.name,
        evalset_path=path,
        evalset_digest="",
        cases=evalset.cases,
        metrics=(),
        gate=(),
        trials=header.trials,
        agent_kind=header.agent_kind,
        agent_entrypoint=header.agent_entrypoint,
        agent_digest=header.agent_digest,
        agent_version=header.agent_version,
        settings={"trials": header.trials},
        created=header.created,
        evalkit_version=header.evalkit_version,
        git_commit=header.git_commit,
        git_dirty=header.git_dirty,
        cases_in_set=len(evalset.cases),
    )
