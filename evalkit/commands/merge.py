"""`evalkit merge`: join the shards of a run into one run, equal to the unsharded one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.ci.base import GateChoice, apply_base_gate, load_comparison_baseline, open_base_gate
from evalkit.commands.evaluation import evaluate_with_base
from evalkit.compare.history import build_summary
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.judgement import JudgeTrust
from evalkit.core.location import Problem
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.project import Project
from evalkit.evalset.selection import parse_shard
from evalkit.report.model import Report
from evalkit.runner.execute import rescore_baseline_for
from evalkit.runner.records import RunRequest
from evalkit.store.baseline import baseline_path, write_rescored_baseline
from evalkit.store.refs import BaselineChoice, resolve_run
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import assemble_run, new_run_id

MERGE_FIELDS = (
    "evalset",
    "evalset_path",
    "evalset_digest",
    "metrics",
    "trials",
    "agent_kind",
    "agent_entrypoint",
    "agent_digest",
    "agent_version",
    "evalkit_version",
    "settings",
    "base_commit",
)
"""Header fields that must be equal for shards to be parts of one run."""


def merge(
    refs: Sequence[str], against: BaselineChoice, choice: GateChoice, context: Context
) -> Report:
    """Join shards, store the whole as a new run and decide on it.

    Raises:
        InvalidInput: the shards are not all the shards of one run.
        StoreError: a shard cannot be read, or the whole cannot be stored.
    """
    project = Project.open(context)
    root = project.root
    parts = [with_spans(resolve_run(ref, root=root, cwd=project.cwd)) for ref in refs]
    run_id = new_run_id(context.now(), parts[0].header.evalset, context.token())
    whole = _merge_parts(parts, run_id)
    # No shard scored the baseline again, so this is done here, once for all of them.
    path = root / whole.header.evalset_path
    with open_base_gate(path, choice, project, context) as base_gate:
        own = baseline_path(path, whole.header.evalset)
        baseline = load_comparison_baseline(against, own, base_gate, project)
        request = apply_base_gate(RunRequest(path=path, needs_agent=False), base_gate)
        baseline = rescore_baseline_for(whole, baseline, request, project, context)
        whole = _store_merged_run(whole, baseline, root)
        return evaluate_with_base(whole, baseline, base_gate, against, project)


def _store_merged_run(whole: Run, baseline: Run | None, root: Path) -> Run:
    """Store a joined run, together with its baseline if that was scored again."""
    with RunWriter.create(root, whole.header) as writer:
        for trial in (*whole.trials, *whole.fresh):
            writer.append(trial)
        if whole.trust is not None:
            writer.write_trust(whole.trust)
        if whole.finished and baseline is not None and baseline.is_rescored:
            write_rescored_baseline(baseline, writer.folder)
        if whole.finished:
            writer.finish(build_summary(whole))
        return replace(whole, path=str(writer.folder))


def _merge_parts(parts: Sequence[Run], run_id: str) -> Run:
    """Return the run that all shards are parts of, its cases in the order of the set.

    Raises:
        InvalidInput: every reason why they are not one run.
    """
    problems = _find_header_differences([part.header for part in parts])
    problems += _find_shard_problems(parts)
    if problems:
        raise InvalidInput(problems)
    ordered = sorted(parts, key=lambda part: parse_shard(part.header.shard).index)
    # A shard contains every n-th case, so the whole takes one case of each shard in turn.
    # The first shard is never shorter than the others.
    longest = len(ordered[0].header.cases)
    cases = tuple(
        part.header.cases[row]
        for row in range(longest)
        for part in ordered
        if row < len(part.header.cases)
    )
    first = ordered[0].header
    selection = first.selection.replace(f"--shard {first.shard}", "").strip()
    fresh = {case_id: count for part in ordered for case_id, count in part.header.fresh.items()}
    header = replace(
        first,
        id=run_id,
        cases=cases,
        selection=selection,
        shard="",
        fresh=fresh,
        added=tuple(case_id for part in ordered for case_id in part.header.added),
    )
    rows = [trial for part in ordered for trial in (*part.trials, *part.fresh)]
    return replace(
        assemble_run(header, rows),
        finished=all(part.finished for part in ordered),
        warnings=tuple(warning for part in ordered for warning in part.warnings),
        trust=_merge_trust([part.trust for part in ordered if part.trust is not None]),
    )


def _find_shard_problems(parts: Sequence[Run]) -> list[Problem]:
    """Return why runs are not the shards 1/N to N/N of one run, each once and without common cases."""
    shards = [parse_shard(part.header.shard) for part in parts if part.header.shard]
    if len(shards) < len(parts) or len({shard.count for shard in shards}) > 1:
        names = ", ".join(part.header.shard or f"{part.header.id} (whole)" for part in parts)
        return [Problem(message=f"not parts of one run: {names}. Merge 1/N to N/N.")]
    count, indices = shards[0].count, sorted(shard.index for shard in shards)
    if indices != list(range(1, count + 1)):
        given = ", ".join(f"{index}/{count}" for index in indices)
        return [Problem(message=f"parts given: {given}. Name the runs of all {count}, each once.")]
    counted = Counter(case.id for part in parts for case in part.header.cases)
    doubled = [case_id for case_id, times in counted.items() if times > 1]
    if doubled:
        return [Problem(message=f"cases in more than one part: {', '.join(doubled[:5])}.")]
    return []


def _merge_trust(parts: Sequence[JudgeTrust]) -> JudgeTrust | None:
    """Return what all shards show of their judges: every control of every shard must hold."""
    if not parts:
        return None
    costs = [part.cost_usd for part in parts if part.cost_usd is not None]
    return JudgeTrust(
        judges=tuple(dict.fromkeys(judge for part in parts for judge in part.judges)),
        models=tuple(dict.fromkeys(model for part in parts for model in part.models)),
        controls=tuple(result for part in parts for result in part.controls),
        anchors=tuple(result for part in parts for result in part.anchors),
        calls=sum(part.calls for part in parts),
        cost_usd=sum(costs) if costs else None,
        warnings=tuple(warning for part in parts for warning in part.warnings),
    )


def _find_header_differences(headers: Sequence[RunHeader]) -> list[Problem]:
    """Return the fields in which a shard differs from the first one."""
    first = headers[0]
    return [
        Problem(
            message=f"{header.id} differs from {first.id} in {name}: "
            f"{_shorten(getattr(header, name))}, not {_shorten(getattr(first, name))}."
        )
        for header in headers[1:]
        for name in MERGE_FIELDS
        if getattr(header, name) != getattr(first, name)
    ]


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
