"""Find the stored answers of a commit's agent, so that no trial is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from evalkit.agents.registry import describe_entrypoint
from evalkit.core.errors import StoreError
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.run import Run, RunHeader
from evalkit.core.serialization import digest
from evalkit.core.trial import Trial
from evalkit.store.answers import load_answers
from evalkit.store.run_spans import with_spans
from evalkit.store.runs import list_run_ids, read_header, read_run, runs_folder


def find_stored_answers(
    root: Path, commit: str, agent: AgentSpec, cases: Sequence[Case]
) -> tuple[Trial, ...]:
    """Return the stored answers of an agent at a commit to the present inputs of cases.

    They come from all runs of that commit without uncommitted edits, also from those that were killed. The
    newest answer counts where several have the same case and number, because two runs with one seed repeat
    each other. Failed calls are not among them, and neither are trials that ran because a case had failed.
    """
    inputs = {case.id: (case.input, case.metadata) for case in cases}
    found: dict[tuple[str, int], Trial] = {}
    for run in _read_runs(root, commit, agent):
        known = {case.id: (case.input, case.metadata) for case in run.header.cases}
        for trial in run.trials:
            case_id = trial.case_id
            if trial.output.error is None and known.get(case_id) == inputs.get(case_id, ""):
                found.setdefault((case_id, trial.number), trial)
    return tuple(found.values())


def _read_runs(root: Path, commit: str, agent: AgentSpec) -> Iterator[Run]:
    """Yield the runs of an agent at a commit with all their answers, newest first; skip broken ones."""
    wanted = (agent.kind, describe_entrypoint(agent), digest([agent.kind, agent.args]))
    for run_id in reversed(list_run_ids(root)):
        folder = runs_folder(root) / run_id
        with suppress(StoreError):
            header = read_header(folder)
            if (
                header.git_commit == commit
                and not header.git_dirty
                and _name_agent(header) == wanted
            ):
                yield _read_answers(folder)


def _name_agent(header: RunHeader) -> tuple[str, str, str]:
    return header.agent_kind, header.agent_entrypoint, header.agent_digest


def _read_answers(folder: Path) -> Run:
    """Return a run with its answers that have no scores yet among the trials."""
    run = read_run(folder)
    rows = run.trials if run.finished else (*load_answers(folder), *run.trials)
    latest = {(row.case_id, row.number): row for row in rows if row.output.error is None}
    first_fresh = run.header.trials if run.header.fresh else None
    kept = (row for row in latest.values() if first_fresh is None or row.number < first_fresh)
    return with_spans(replace(run, trials=tuple(kept), fresh=()))
