"""An unfinished run found again, and refused when what it ran has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.errors import InvalidInput
from evalkit.plan import Order
from evalkit.project import find_root, path_in
from evalkit.records import Case, Json, Problem, Run, RunHeader
from evalkit.selection import Selection
from evalkit.store import find_unfinished, read_run, runs_folder
from evalkit.world import World

SAME_TO_RESUME = (
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

FIELD_WORDS = {
    "agent_digest": "what the set says of the agent",
    "metrics": "the metrics",
    "source_digest": "the code of the agent, or around it,",
    "base_commit": "the commit that the gate is read from",
    "added": "which cases the gate does not know",
    "against": "the commit run alongside (--against)",
}
"""What the fields are called whose values say nothing to a reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """How a run is stored and named, and what it may reuse, apart from what it runs."""

    agent_version: str | None = None
    run_id: str | None = None
    resume: bool = False
    retry_errors: bool = False
    cache: bool = False


def find_earlier(order: Order, choices: Choices, world: World) -> Run:
    """The run to go on with: the one named, else the set's newest unfinished one.

    Raises:
        InvalidInput: there is none.
        StoreError: it cannot be read.
    """
    root = find_root(order.path.parent, world.cwd)
    folder = (
        runs_folder(root) / choices.run_id
        if choices.run_id
        else find_unfinished(root, path_in(root, order.path))
    )
    if folder is None or not folder.exists():
        raise InvalidInput.single(
            f"{order.path}: there is no unfinished run to resume. Start one without --resume."
        )
    return read_run(folder)


def adopt_stored(order: Order, stored: RunHeader) -> Order:
    """The order a stored run was started with, unless the command line says otherwise."""
    settings = {**stored.settings, **_given(order.overrides)}
    selection = order.selection
    if stored.selection and not str(selection):
        selection = Selection(only=frozenset(case.id for case in stored.cases))
    return replace(order, selection=selection, overrides=settings)


def _given(values: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}


def refuse_if_changed(stored: RunHeader, planned: RunHeader) -> RunHeader:
    """The stored header, once it is sure that what is planned now is the same run.

    Raises:
        InvalidInput: what differs; its trials would be of two different things.
    """
    problems = [
        Problem(message=f"{FIELD_WORDS.get(name, name)} changed")
        if name in FIELD_WORDS
        else Problem(message=f"{name} was {getattr(stored, name)!r}, is {getattr(planned, name)!r}")
        for name in SAME_TO_RESUME
        if _to_compare(stored, name) != _to_compare(planned, name)
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


def _to_compare(header: RunHeader, name: str) -> object:
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
