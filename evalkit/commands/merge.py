"""`evalkit merge`: the parts of a sharded run, joined into one run equal to the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.ci.base import GateChoice, load_comparison_baseline, open_base_gate
from evalkit.commands.gate import evaluate_with_base
from evalkit.compare.history import build_summary
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.judgement import JudgeTrust
from evalkit.core.location import Problem
from evalkit.core.project import find_project_root
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.selection import parse_shard
from evalkit.report.model import Report
from evalkit.report.next_steps import CommandHints
from evalkit.runner.plan import RunRequest
from evalkit.runner.score_stored import rescore_baseline_for
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
"""Fields of the headers that must be equal for parts to be parts of one run."""


def merge(
    refs: Sequence[str], against: BaselineChoice, choice: GateChoice, world: Context
) -> Report:
    """Join parts, store the whole as a new run and decide it.

    Raises:
        InvalidInput: the parts are not all the parts of one run.
        StoreError: a part cannot be read, or the whole not be stored.
    """
    root = find_project_root(world.cwd, world.cwd)
    parts = [with_spans(resolve_run(ref, root=root, cwd=world.cwd)) for ref in refs]
    run_id = new_run_id(world.now(), parts[0].header.evalset, world.token())
    whole = merge_parts(parts, run_id)
    path = root / whole.header.evalset_path
    with open_base_gate(path, choice, world) as basis:
        own = baseline_path(path, whole.header.evalset)
        baseline = load_comparison_baseline(against, own, basis, run=None, world=world)
        order = RunRequest(path=path, needs_agent=False)
        held = basis.apply_to(order) if basis else order
        baseline = rescore_baseline_for(whole, baseline, held, world)
        whole = store_merged_run(whole, baseline, root)
        place = CommandHints(root=root, cwd=world.cwd)
        return evaluate_with_base(whole, baseline, basis, against, place)


def store_merged_run(whole: Run, baseline: Run | None, root: Path) -> Run:
    """Store a joined run, and with it its baseline where that was scored again."""
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


def merge_parts(parts: Sequence[Run], run_id: str) -> Run:
    """The run that all parts are parts of, its cases in the order of the set.

    Raises:
        InvalidInput: everything that keeps them from being one.
    """
    problems = find_header_differences([part.header for part in parts])
    shards = [parse_shard(part.header.shard) for part in parts if part.header.shard]
    counts = {shard.count for shard in shards}
    if len(shards) < len(parts) or len(counts) > 1:
        names = ", ".join(part.header.shard or f"{part.header.id} (whole)" for part in parts)
        problems.append(Problem(message=f"not parts of one run: {names}. Merge 1/N to N/N."))
    else:
        there = sorted(shard.index for shard in shards)
        wanted = list(range(1, shards[0].count + 1))
        if there != wanted:
            given = ", ".join(f"{index}/{shards[0].count}" for index in there)
            problems.append(
                Problem(
                    message=f"parts given: {given}. Name the runs of all {shards[0].count}, each once."
                )
            )
    counted = Counter(case.id for part in parts for case in part.header.cases)
    doubled = [case_id for case_id, count in counted.items() if count > 1]
    if doubled and not problems:
        problems.append(Problem(message=f"cases in more than one part: {', '.join(doubled[:5])}."))
    if problems:
        raise InvalidInput(problems)
    ordered = sorted(parts, key=lambda part: parse_shard(part.header.shard).index)
    # A shard takes every n-th case, so the whole is dealt back like cards.
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
        trust=merge_trust([part.trust for part in ordered if part.trust is not None]),
    )


def merge_trust(parts: Sequence[JudgeTrust]) -> JudgeTrust | None:
    """What all parts showed of their judges: every control of every part has to have held."""
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


def find_header_differences(headers: Sequence[RunHeader]) -> list[Problem]:
    """Fields in which a part differs from the first one."""
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
