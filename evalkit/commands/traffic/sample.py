"""`evalkit traffic sample`: draw requests into a list, an eval set, or a set of answers to be judged."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.commands.traffic.sampled_files import (
    SharedSections,
    choose_judge,
    find_known_sets,
    find_rubric,
    read_shared_sections,
)
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.files import path_exists, write_atomically
from evalkit.core.source_files import display_path
from evalkit.evalset.project import Project
from evalkit.evalset.set_files import SET_SUFFIXES
from evalkit.traffic.known_cases import KnownCases
from evalkit.traffic.redaction import TrafficRedactor
from evalkit.traffic.redaction_key import load_redaction_key
from evalkit.traffic.sample_cases import (
    RequestVerdict,
    SampledCase,
    build_answered_cases,
    build_cases,
)
from evalkit.traffic.sample_table import store_sample
from evalkit.traffic.sample_text import SampleResult
from evalkit.traffic.sampled_sets import RECORDING, format_cases, format_judged, format_recording
from evalkit.traffic.sampling import NOVEL, REASONS, Sample, draw_sample, read_reasons
from evalkit.traffic.table import open_traffic, traffic_folder

if TYPE_CHECKING:
    import duckdb

_CONTEXTS = """
select request_id, coalesce(result::varchar, output) from spans
where kind in ('retrieval', 'tool') and coalesce(result::varchar, output) is not null
and request_id in (select unnest(?::varchar[])) order by request_id, start_ns
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRequest:
    """What to draw, and what for: a new set `to` a file, answers to `judge` by rubrics, or a list.

    `by` are the reasons, None for all. `like` are sets with the known cases.
    """

    traffic: str
    size: int = 50
    by: str | None = None
    seed: int = 0
    to: Path | None = None
    judge: tuple[str, ...] = ()
    like: tuple[Path, ...] = ()


def sample_traffic(request: SampleRequest, context: Context) -> SampleResult:
    """Draw a sample, write the files it is for, and store its inclusion probabilities.

    Raises:
        InvalidInput: there is no such traffic, reason, set, or rubric; nothing is written.
        StoreError: a file cannot be written.
    """
    target = None if request.to is None else context.cwd / request.to
    project = Project.open(context, target)
    # The new set may be in a project of its own below the one with the traffic.
    folder = traffic_folder(Project.open(context).root, request.traffic)
    if target is not None:
        _refuse_target(target)
    sets = find_known_sets(request.like, target, project)
    cases = [case for path in sets for case in project.load(path)[0].cases]
    reasons = _choose_reasons(request.by, has_cases=bool(cases))
    shared = read_shared_sections(sets, target, project) if target is not None else None
    with open_traffic(folder) as traffic:
        sample = draw_sample(traffic, reasons, request.size, request.seed, KnownCases(cases))
        if request.judge:
            return _write_judged(request, sample, traffic, sets, project)
    result = SampleResult(traffic=request.traffic, sample=sample, purpose="list")
    verdicts = [RequestVerdict("listed")] * len(sample.requests)
    if target is not None and shared is not None:
        redactor = _open_redactor(project.environ)
        made, verdicts = build_cases(sample, request.traffic, redactor, KnownCases(cases))
        result = replace(
            result,
            purpose="cases",
            cases=tuple(made),
            verdicts=tuple(verdicts),
            redacted=Counter(redactor.counts),
            known_cases=len(cases),
        )
        if made:
            files = _write_cases(made, target, shared, project)
            result = replace(result, files=tuple(_show_paths(files, context.cwd)))
    store_sample(folder, sample, result.purpose, verdicts)
    return result


def _refuse_target(target: Path) -> None:
    """Refuse to write what no set is, or over labels.

    Raises:
        InvalidInput: the file exists, or has another extension.
    """
    if target.suffix.lower() not in SET_SUFFIXES:
        raise InvalidInput.single(f"--to {display_path(target)}: a set is a file .yaml.")
    if path_exists(target):
        raise InvalidInput.single(
            f"{display_path(target)} exists, and may have labels that somebody confirmed. Choose another "
            "name, or delete it."
        )


def _choose_reasons(by: str | None, *, has_cases: bool) -> tuple[str, ...]:
    if by is None:
        return tuple(name for name in REASONS if name != NOVEL or has_cases)
    reasons = read_reasons(by)
    if NOVEL in reasons and not has_cases:
        raise InvalidInput.single(
            "--by novel compares with cases, and there are none. Name a set with --like SET."
        )
    return reasons


def _write_cases(
    cases: Sequence[SampledCase], target: Path, shared: SharedSections, project: Project
) -> list[Path]:
    """Write the set and the rubrics it lacks, and return the files."""
    names = ["toxicity"] if shared.has_lexical_judge else ["helpfulness", "toxicity"]
    rubrics = [find_rubric(name, target.parent, project) for name in names]
    text = format_cases(
        cases,
        name=target.stem,
        agent=shared.agent,
        judge=shared.judge,
        rubrics=[each.ref for each in rubrics],
    )
    return _write({target: text, **{each.path: each.text for each in rubrics if each.text}})


def _write_judged(
    request: SampleRequest,
    sample: Sample,
    traffic: duckdb.DuckDBPyConnection,
    sets: Sequence[Path],
    project: Project,
) -> SampleResult:
    """Write the set of recorded answers next to the traffic, where git ignores it."""
    folder = traffic_folder(project.root, request.traffic)
    target = folder / f"judged-{sample.id}" / "judged.yaml"
    rubrics = [find_rubric(name, target.parent, project) for name in request.judge]
    redactor = _open_redactor(project.environ)
    ids = [each.row["request_id"] for each in sample.requests]
    contexts: dict[str, str] = {}
    for request_id, text in traffic.execute(_CONTEXTS, [ids]).fetchall():
        contexts[request_id] = "\n\n".join(filter(None, (contexts.get(request_id), text)))
    cases, verdicts = build_answered_cases(
        sample,
        request.traffic,
        redactor,
        contexts,
        needs_context=all("context" in each.rubric.needs for each in rubrics),
    )
    if not cases:
        raise InvalidInput.single(
            "no sampled request has what these rubrics judge: an answer, and for groundedness what a tool "
            "or a retrieval returned."
        )
    text = format_judged(
        cases,
        name=f"{request.traffic}-{sample.id}",
        judge=choose_judge(sets, target, project),
        rubrics={each.ref: each.rubric.higher_is_better for each in rubrics},
        names=[each.rubric.name for each in rubrics],
    )
    files = _write(
        {
            target.parent / RECORDING: format_recording(cases),
            **{each.path: each.text for each in rubrics if each.text},
            target: text,
        }
    )
    store_sample(folder, sample, "judge", verdicts)
    return SampleResult(
        traffic=request.traffic,
        sample=sample,
        purpose="judge",
        cases=tuple(cases),
        verdicts=tuple(verdicts),
        redacted=Counter(redactor.counts),
        files=tuple(_show_paths([target, *files[:-1]], project.cwd)),
        metrics=tuple(each.rubric.name for each in rubrics),
    )


def _open_redactor(environ: Mapping[str, str]) -> TrafficRedactor:
    """Return a redactor for texts that leave the store, whatever the import has kept."""
    return TrafficRedactor(load_redaction_key(environ)[0], environ=environ)


def _write(texts: dict[Path, str]) -> list[Path]:
    for path, text in texts.items():
        write_atomically(path, text)
    return list(texts)


def _show_paths(paths: Sequence[Path], cwd: Path) -> list[str]:
    return [os.path.relpath(path, cwd) for path in paths]
