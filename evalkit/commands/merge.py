"""`evalkit merge`: the parts of a sharded run, joined into one run equal to the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evalkit.baseline import baseline_path, write_renewed
from evalkit.basing import GateChoice, find_baseline, open_basis
from evalkit.commands.gate import decide_held
from evalkit.errors import InvalidInput
from evalkit.execution import renew_for
from evalkit.hints import Place
from evalkit.history import summary_of
from evalkit.judgement import Trust
from evalkit.plan import Order
from evalkit.project import find_root
from evalkit.records import Problem, Run, RunHeader
from evalkit.refs import BaselineChoice, resolve_run
from evalkit.reports.report import Report
from evalkit.selection import parse_shard
from evalkit.steps import with_spans
from evalkit.store import RunWriter, assemble_run, new_run_id
from evalkit.world import World

SAME_TO_MERGE = (
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


def merge(refs: Sequence[str], against: BaselineChoice, choice: GateChoice, world: World) -> Report:
    """Join parts, store the whole as a new run and decide it.

    Raises:
        InvalidInput: the parts are not all the parts of one run.
        StoreError: a part cannot be read, or the whole not be stored.
    """
    root = find_root(world.cwd, world.cwd)
    parts = [with_spans(resolve_run(ref, root=root, cwd=world.cwd)) for ref in refs]
    run_id = new_run_id(world.now(), parts[0].header.evalset, world.token())
    whole = join_parts(parts, run_id)
    path = root / whole.header.evalset_path
    with open_basis(path, choice, world) as basis:
        own = baseline_path(path, whole.header.evalset)
        baseline = find_baseline(against, own, basis, run=None, world=world)
        order = Order(path=path, needs_agent=False)
        held = basis.hold(order) if basis else order
        baseline = renew_for(whole, baseline, held, world)
        whole = store_whole(whole, baseline, root)
        place = Place(root=root, cwd=world.cwd)
        return decide_held(whole, baseline, basis, against, place)


def store_whole(whole: Run, baseline: Run | None, root: Path) -> Run:
    """Store a joined run, and with it its baseline where that was scored again."""
    with RunWriter.create(root, whole.header) as writer:
        for trial in (*whole.trials, *whole.fresh):
            writer.append(trial)
        if whole.trust is not None:
            writer.write_trust(whole.trust)
        if whole.finished and baseline is not None and baseline.is_renewed:
            write_renewed(baseline, writer.folder)
        if whole.finished:
            writer.finish(summary_of(whole))
        return replace(whole, path=str(writer.folder))


def join_parts(parts: Sequence[Run], run_id: str) -> Run:
    """The run that all parts are parts of, its cases in the order of the set.

    Raises:
        InvalidInput: everything that keeps them from being one.
    """
    problems = find_differences([part.header for part in parts])
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
        trust=join_trust([part.trust for part in ordered if part.trust is not None]),
    )


def join_trust(parts: Sequence[Trust]) -> Trust | None:
    """What all parts showed of their judges: every control of every part has to have held."""
    if not parts:
        return None
    costs = [part.cost_usd for part in parts if part.cost_usd is not None]
    return Trust(
        judges=tuple(dict.fromkeys(judge for part in parts for judge in part.judges)),
        models=tuple(dict.fromkeys(model for part in parts for model in part.models)),
        controls=tuple(result for part in parts for result in part.controls),
        anchors=tuple(result for part in parts for result in part.anchors),
        calls=sum(part.calls for part in parts),
        cost_usd=sum(costs) if costs else None,
        warnings=tuple(warning for part in parts for warning in part.warnings),
    )


def find_differences(headers: Sequence[RunHeader]) -> list[Problem]:
    """Fields in which a part differs from the first one."""
    first = headers[0]
    return [
        Problem(
            message=f"{header.id} differs from {first.id} in {name}: "
            f"{_short(getattr(header, name))}, not {_short(getattr(first, name))}."
        )
        for header in headers[1:]
        for name in SAME_TO_MERGE
        if getattr(header, name) != getattr(first, name)
    ]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
