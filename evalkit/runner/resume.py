"""An unfinished run found again, and refused when what it ran has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.project import find_project_root, relative_to_root
from evalkit.core.run import Run, RunHeader
from evalkit.evalset.selection import Selection
from evalkit.runner.plan import RunRequest
from evalkit.store.runs import find_unfinished_run, read_run, runs_folder

RESUME_FIELDS = (
    "evalset",
    "metrics",
    "agent_kind",
    "agent_entrypoint",
    "agent_digest",
    "agent_version",
    "git_commit",
    "source_digest",
    "evalkit_version",
    "base_commit",
    "added",
    "against",
)
"""Fields of a run's header that must be what they were for a run to be resumed."""

FIELD_LABELS = {
    "agent_digest": "what the set says of the agent",
    "metrics": "the metrics",
    "source_digest": "the code of the agent, or around it,",
    "base_commit": "the commit that the gate is read from",
    "added": "which cases the gate does not know",
    "against": "the commit run alongside (--against)",
}
"""What the fields are called whose values say nothing to a reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a run is stored and named, and what it may reuse, apart from what it runs."""

    agent_version: str | None = None
    run_id: str | None = None
    resume: bool = False
    retry_errors: bool = False
    cache: bool = False


def find_resumable_run(order: RunRequest, choices: RunOptions, world: Context) -> Run:
    """The run to go on with: the one named, else the set's newest unfinished one.

    Raises:
        InvalidInput: there is none.
        StoreError: it cannot be read.
    """
    root = find_project_root(order.path.parent, world.cwd)
    folder = (
        runs_folder(root) / choices.run_id
        if choices.run_id
        else find_unfinished_run(root, relative_to_root(root, order.path))
    )
    if folder is None or not folder.exists():
        raise InvalidInput.single(
            f"{order.path}: there is no unfinished run to resume. Start one without --resume."
        )
    return read_run(folder)


def adopt_stored_settings(order: RunRequest, stored: RunHeader) -> RunRequest:
    """The order a stored run was started with, unless the command line says otherwise."""
    settings = {**stored.settings, **_drop_unset(order.overrides)}
    selection = order.selection
    if stored.selection and not str(selection):
        selection = Selection(only=frozenset(case.id for case in stored.cases))
    return replace(order, selection=selection, overrides=settings)


def _drop_unset(values: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}


def refuse_if_changed(stored: RunHeader, planned: RunHeader) -> RunHeader:
    """The stored header, once it is sure that what is planned now is the same run.

    Raises:
        InvalidInput: what differs; its trials would be of two different things.
    """
    problems = [
        Problem(message=f"{FIELD_LABELS.get(name, name)} changed")
        if name in FIELD_LABELS
        else Problem(message=f"{name} was {getattr(stored, name)!r}, is {getattr(planned, name)!r}")
        for name in RESUME_FIELDS
        if _comparable_value(stored, name) != _comparable_value(planned, name)
    ]
    if stored.settings.get("seed") != planned.settings.get("seed"):
        problems.append(Problem(message="the seed is another one"))
    before, now = stored.settings.get("trials"), planned.settings.get("trials")
    if before != now:
        problems.append(Problem(message=f"trials was {before!r}, is {now!r}"))
    changed = _changed_cases(stored.cases, planned.cases)
    if changed:
        problems.append(Problem(message=f"cases changed: {', '.join(changed)}"))
    if problems:
        advice = f"run {stored.id} cannot be resumed, because what it ran has changed. Start anew."
        raise InvalidInput([Problem(message=advice), *problems])
    return stored


def _comparable_value(header: RunHeader, name: str) -> object:
    """A field of a header; of metrics only how they are defined, as another judge judges all anew."""
    if name != "metrics":
        return getattr(header, name)
    return [(info.name, info.digest) for info in header.metrics]


def _changed_cases(stored: Sequence[Case], planned: Sequence[Case]) -> list[str]:
    before = {case.id: case.digest for case in stored}
    after = {case.id: case.digest for case in planned}
    return sorted(
        case_id
        for case_id in before.keys() | after.keys()
        if before.get(case_id) != after.get(case_id)
    )
