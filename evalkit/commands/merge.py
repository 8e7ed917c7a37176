"""`evalkit merge`: join the shards of a run into one run, equal to the unsharded one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from evalkit.ci.base import GateChoice, apply_base_gate, load_comparison_baseline
from evalkit.ci.guarded_gate import open_guarded_gate
from evalkit.commands.evaluation import evaluate_with_base
from evalkit.commands.stored_result import store_result
from evalkit.compare.history import build_summary
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.judgement import JudgeTrust
from evalkit.core.location import Problem
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.project import Project
from evalkit.evalset.selection import parse_shard
from evalkit.report.model import Report
from evalkit.runner.cache_trust import read_store_key
from evalkit.runner.execute import rescore_baseline_for
from evalkit.runner.records import RunRequest
from evalkit.store.baseline import baseline_path, store_rescored_baseline
from evalkit.store.refs import BaselineChoice, resolve_run
from evalkit.store.run_seal import refuse_unsealed
from evalkit.store.run_spans import with_spans
from evalkit.store.run_writer import RunWriter
from evalkit.store.runs import assemble_run, new_run_id
from evalkit.store.seal import Seal

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
"""Header fields that must be equal in all shards of a run."""


def merge(
    refs: Sequence[str], baseline_choice: BaselineChoice, gate_choice: GateChoice, context: Context
) -> Report:
    """Join shards into one run, store it as a new run, and apply the gate.

    Raises:
        InvalidInput: the runs are not all the shards of one run.
        StoreError: a shard cannot be read, or the joined run cannot be stored.
    """
    project = Project.open(context)
    root = project.root
    seal = Seal(read_store_key(project.environ))
    shards = [with_spans(resolve_run(ref, root=root, cwd=project.cwd)) for ref in refs]
    for shard in shards:
        refuse_unsealed(shard, seal)
    run_id = new_run_id(context.now(), shards[0].header.evalset, context.token())
    joined = _join_shards(shards, run_id)
    # Shards do not score the baseline again, so do it here, once for the joined run.
    path = root / joined.header.evalset_path
    with open_guarded_gate(path, gate_choice, project, context) as base_gate:
        own = baseline_path(path, joined.header.evalset)
        baseline = load_comparison_baseline(baseline_choice, own, base_gate, project)
        request = apply_base_gate(RunRequest(path=path, needs_agent=False), base_gate)
        baseline = rescore_baseline_for(joined, baseline, request, project, context)
        joined = _store_merged_run(joined, baseline, project)
        report = evaluate_with_base(joined, baseline, base_gate, baseline_choice, project)
        return store_result(report, project)


def _store_merged_run(joined: Run, baseline: Run | None, project: Project) -> Run:
    """Store the joined run, and its baseline if it was scored again."""
    stored = (*joined.trials, *joined.fresh)
    seal = Seal(read_store_key(project.environ))
    with RunWriter.create(project.root, joined.header, seal, stored) as writer:
        if joined.trust is not None:
            writer.write_trust(joined.trust)
        if joined.finished and baseline is not None and baseline.is_rescored:
            store_rescored_baseline(baseline, writer)
        if joined.finished:
            writer.finish(build_summary(joined))
        return replace(joined, path=str(writer.folder))


def _join_shards(shards: Sequence[Run], run_id: str) -> Run:
    """Return the shards as one run, with its cases in the order of the set.

    Raises:
        InvalidInput: lists every reason why they are not one run.
    """
    problems = _find_header_differences([shard.header for shard in shards])
    problems += _find_shard_problems(shards)
    if problems:
        raise InvalidInput(problems)
    ordered = sorted(shards, key=lambda shard: parse_shard(shard.header.shard).index)
    # A shard contains every n-th case, so take one case of each shard in turn.
    # The first shard is never shorter than the others.
    longest = len(ordered[0].header.cases)
    cases = tuple(
        shard.header.cases[row]
        for row in range(longest)
        for shard in ordered
        if row < len(shard.header.cases)
    )
    first = ordered[0].header
    selection = first.selection.replace(f"--shard {first.shard}", "").strip()
    fresh = {case_id: count for shard in ordered for case_id, count in shard.header.fresh.items()}
    header = replace(
        first,
        id=run_id,
        cases=cases,
        selection=selection,
        shard="",
        batch="",
        fresh=fresh,
        added=tuple(case_id for shard in ordered for case_id in shard.header.added),
    )
    rows = [trial for shard in ordered for trial in (*shard.trials, *shard.fresh)]
    return replace(
        assemble_run(header, rows),
        finished=all(shard.finished for shard in ordered),
        warnings=tuple(warning for shard in ordered for warning in shard.warnings),
        trust=_merge_trust([shard.trust for shard in ordered if shard.trust is not None]),
    )


def _find_shard_problems(runs: Sequence[Run]) -> list[Problem]:
    """Return why runs are not the shards 1/N to N/N, each once and without common cases."""
    parsed = [parse_shard(run.header.shard) for run in runs if run.header.shard]
    if len(parsed) < len(runs) or len({shard.count for shard in parsed}) > 1:
        names = ", ".join(run.header.shard or f"{run.header.id} (no shard)" for run in runs)
        return [Problem(message=f"not shards of one run: {names}. Merge the shards 1/N to N/N.")]
    count, indices = parsed[0].count, sorted(shard.index for shard in parsed)
    if indices != list(range(1, count + 1)):
        given = ", ".join(f"{index}/{count}" for index in indices)
        return [Problem(message=f"shards given: {given}. Name the runs of all {count}, each once.")]
    counted = Counter(case.id for run in runs for case in run.header.cases)
    doubled = [case_id for case_id, times in counted.items() if times > 1]
    if doubled:
        return [Problem(message=f"cases in more than one shard: {', '.join(doubled[:5])}.")]
    return []


def _merge_trust(shards: Sequence[JudgeTrust]) -> JudgeTrust | None:
    """Return the trust in the judges of all shards, with the controls of every shard."""
    if not shards:
        return None
    costs = [shard.cost_usd for shard in shards if shard.cost_usd is not None]
    return JudgeTrust(
        judges=tuple(dict.fromkeys(judge for shard in shards for judge in shard.judges)),
        models=tuple(dict.fromkeys(model for shard in shards for model in shard.models)),
        changes=tuple(dict.fromkeys(each for shard in shards for each in shard.changes)),
        verdicts=sum(shard.verdicts for shard in shards),
        cached_verdicts=sum(shard.cached_verdicts for shard in shards),
        controls=tuple(result for shard in shards for result in shard.controls),
        anchors=tuple(result for shard in shards for result in shard.anchors),
        calls=sum(shard.calls for shard in shards),
        input_tokens=sum(shard.input_tokens for shard in shards),
        output_tokens=sum(shard.output_tokens for shard in shards),
        cached_tokens=sum(shard.cached_tokens for shard in shards),
        cost_usd=sum(costs) if costs else None,
        warnings=tuple(warning for shard in shards for warning in shard.warnings),
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
