"""Load an eval-set file, with its project file and its case files, into an EvalSet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evalkit.core.eval_set import AgentSpec, Case, EvalSet, MetricSpec, Rule, TrafficSection
from evalkit.core.judgement import JudgeSpec
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.serialization import digest
from evalkit.core.source_files import UnreadableFile, display_path, read_file, resolve_inside
from evalkit.evalset.agent import read_agent
from evalkit.evalset.case_files import READERS, find_reader
from evalkit.evalset.case_ids import describe_duplicate_id, normalize_id
from evalkit.evalset.cases import read_case
from evalkit.evalset.criteria import read_case_criteria
from evalkit.evalset.fields import FieldReader, drop_none, read_mapping
from evalkit.evalset.foreign_formats import (
    find_foreign_case,
    find_foreign_file,
    find_foreign_set,
)
from evalkit.evalset.gate import add_call_metrics, read_gate
from evalkit.evalset.judges import read_judges
from evalkit.evalset.keys import (
    CRITERIA,
    PROJECT_KEYS,
    SET_KEYS,
    SET_NAME,
    SETTING_KEYS,
)
from evalkit.evalset.metrics import read_metrics
from evalkit.evalset.nodes import (
    MAX_PROBLEMS,
    ListNode,
    MappingNode,
    Node,
    Scalar,
    describe_node,
    is_null,
    quote_short,
)
from evalkit.evalset.repeated_problems import RepeatedProblems
from evalkit.evalset.traffic_mix import attach_mix, describe_content, mix_path
from evalkit.evalset.traffic_section import read_traffic
from evalkit.evalset.value_types import Keys
from evalkit.evalset.yaml import parse_yaml

PROJECT_FILE = "evalkit.yaml"

MAX_CASES = 100_000
"""Cases of one set, over all its files."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How a file begins that Git LFS has not fetched yet."""

MAX_NAME_BYTES = 200
"""Length of a set's name. File systems allow 255 bytes, and file names add a suffix to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectSections:
    """The sections of a project file, most of which a set may have; None where the file has none."""

    agent: AgentSpec | None = None
    metrics: tuple[MetricSpec, ...] | None = None
    gate: tuple[Rule, ...] | None = None
    judges: tuple[JudgeSpec, ...] | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)
    traffic: TrafficSection | None = None


def load_evalset(path: Path, *, root: Path) -> tuple[EvalSet, list[Problem]]:
    """Read an eval set as far as possible and find everything wrong with it.

    The nearest `evalkit.yaml` above the set, but not above `root`, provides what the set leaves out.
    Paths of case files start from the set's folder and must be inside `root`. Locations have paths as
    the user would type them. A set without cases is not a problem here. Invalid content never raises an exception.
    """
    problems: list[Problem] = []
    fields = _read_file(path, "eval set", SET_KEYS, problems)
    if fields is None:
        # Whatever else is wrong with the project, the user has to replace this file first.
        return EvalSet(name=path.stem, path=display_path(path), digest=""), problems
    own, shared = _read_shared_sections(fields), load_project(path, root, problems)
    cases = _read_cases(fields, _CaseFiles(path.parent, root, problems))
    metrics = (shared.metrics if own.metrics is None else own.metrics) or ()
    gate = (shared.gate if own.gate is None else own.gate) or ()
    # After merging, because a rule of the set may narrow a metric of the project file.
    metrics, gate = add_call_metrics(metrics, gate, problems)
    name = _read_name(fields, path)
    gate = attach_mix(gate, mix_path(path, name), root, problems)
    evalset = EvalSet(
        name=name,
        path=display_path(path),
        description=fields.text("description") or "",
        # An unreadable agent was reported; the shared one avoids a second problem, that there is none.
        agent=own.agent or shared.agent,
        metrics=metrics,
        gate=gate,
        cases=cases,
        settings={**shared.settings, **own.settings},
        judges=(shared.judges if own.judges is None else own.judges) or (),
        digest=_digest_set(cases, metrics, gate),
    )
    return evalset, problems


def load_project(path: Path, root: Path, problems: list[Problem]) -> ProjectSections:
    """Read the sections of the nearest `evalkit.yaml` above a file; all None without one."""
    project_file = find_project_file(path, root)
    if project_file is None:
        return ProjectSections()
    fields = _read_file(project_file, "project file", PROJECT_KEYS, problems, root)
    return ProjectSections() if fields is None else _read_shared_sections(fields)


def find_project_file(path: Path, root: Path) -> Path | None:
    """Return the `evalkit.yaml` nearest to an eval set, in its folder or above, not above `root`."""
    # Not Path.resolve(), which may raise where a link leads to itself.
    folder, root = Path(os.path.realpath(path.parent)), root.resolve()
    if folder.is_relative_to(root):
        for above in (folder, *folder.parents):
            # A broken link counts, so that it is reported instead of skipped.
            if os.path.lexists(above / PROJECT_FILE):
                return above / PROJECT_FILE
            if above == root:
                break
    return None


def _read_file(
    path: Path, owner: str, keys: Keys, problems: list[Problem], root: Path | None = None
) -> FieldReader | None:
    """Read the fields of a YAML mapping, inside `root` if given; none if it is empty or unreadable.

    Return None for a file of another kind or of another tool, which is one problem.
    """
    nothing = MappingNode(members={}, where=Location(path=display_path(path)))
    node: Node | None = None
    try:
        data = read_file(path if root is None else resolve_inside(path.name, path.parent, root))
        foreign = find_foreign_file(data, replace(nothing.where, line=1))
        if foreign is None:
            node = parse_yaml(data, nothing.where.path, problems)
            foreign = find_foreign_set(node, replace(nothing.where, line=1))
        if foreign is not None:
            problems.append(foreign)
            return None
    except UnreadableFile as error:
        problems.append(Problem(message=f"the file {error}", where=nothing.where))
    if node is None or is_null(node):
        node = nothing
    fields = read_mapping(node, owner, keys, problems)
    return fields or FieldReader(owner=owner, node=nothing, problems=problems, keys=keys)


def _read_shared_sections(fields: FieldReader) -> ProjectSections:
    agent, metrics, gate = fields.get("agent"), fields.get("metrics"), fields.get("gate")
    judge = fields.get("judge")
    traffic = fields.get("traffic") if "traffic" in fields.keys else None
    problems = fields.problems
    given = fields.node.members.get("metrics")
    if given is not None and _is_empty(given.node):
        message = "metrics lists none. List at least one, or leave the key out for exact_match."
        fields.report_problem(message, given.node)
    return ProjectSections(
        agent=None if agent is None else read_agent(agent, problems),
        metrics=None if metrics is None else read_metrics(metrics, fields.owner, problems),
        gate=None if gate is None else read_gate(gate, problems),
        judges=None if judge is None else read_judges(judge, problems),
        settings=drop_none({key: fields.read(key) for key in SETTING_KEYS}),
        traffic=None if traffic is None else read_traffic(traffic, problems),
    )


def _is_empty(node: Node) -> bool:
    return is_null(node) or (isinstance(node, ListNode) and not node.items)


def _read_name(fields: FieldReader, path: Path) -> str:
    name = fields.label("evalset")
    if name is None:
        return path.stem
    if not re.fullmatch(SET_NAME, name) or len(name.encode()) > MAX_NAME_BYTES:
        fields.report_problem(
            f"evalset {quote_short(name)} cannot be part of a file name, as in baselines/NAME.jsonl. "
            f"Write a shorter name without '/' that does not begin with a dot.",
            fields.get("evalset"),
        )
    return name


class _CaseFiles:
    """The case files that a set in `folder` names, each read once; `empty` has those without cases."""

    def __init__(self, folder: Path, root: Path, problems: list[Problem]) -> None:
        self.folder = folder
        self.root = root
        self.problems = problems
        self.empty: list[Scalar] = []
        self._known: set[Path] = set()

    def read(self, name: Scalar) -> Iterator[Node]:
        """Yield the cases of one file; if it cannot be read, report it where the set names it."""
        reader = find_reader(name.text)
        try:
            path = resolve_inside(name.text, self.folder, self.root)
            if reader is None:
                raise UnreadableFile(f"is not a file of cases. Use {', '.join(READERS)}.")
            # The resolved path, so that two names of one file count as the same.
            if path in self._known:
                raise UnreadableFile("is listed twice. Keep one.")
            self._known.add(path)
            data = read_file(path)
            if data.startswith(_LFS_POINTER):
                raise UnreadableFile("is only a pointer of Git LFS. Run `git lfs pull`.")
        except UnreadableFile as error:
            message = f"case file {quote_short(name.text)} {error}"
            self.problems.append(Problem(message=message, where=name.where))
            return
        known_problems, is_empty = len(self.problems), True
        # Locations have the path that the set names, not the target of a symbolic link.
        for node in reader(data, display_path(self.folder / name.text), self.problems):
            foreign = find_foreign_case(node) if is_empty else None
            is_empty = False
            if foreign is not None:
                self.problems.append(foreign)
                return
            yield node
        if is_empty and len(self.problems) == known_problems:
            self.empty.append(name)


def _iter_case_nodes(fields: FieldReader, files: _CaseFiles) -> Iterator[Node]:
    """Yield every case of a set in order, from the set itself and from its files."""
    node = fields.get("cases")
    if isinstance(node, Scalar | ListNode):
        items = node.items if isinstance(node, ListNode) else (node,)
        inline = next((item for item in items if isinstance(item, MappingNode)), None)
        foreign = None if inline is None else find_foreign_case(inline)
        if foreign is not None:
            files.problems.append(foreign)
        for item in items:
            if isinstance(item, Scalar) and not is_null(item):
                yield from files.read(item)
            elif foreign is None:
                yield item
    elif isinstance(node, MappingNode) and not {"id", "input"} & node.members.keys():
        first = next(iter(node.members), "NAME")
        message = "cases must be a list, not a mapping by id. Write each as a list item"
        fields.report_problem(f"{message}, as in '- id: {first}'.", node)
    elif node is not None:
        message = f"cases must be a list, not {describe_node(node)}. Begin each case with '- id:'."
        fields.report_problem(message, node)


def _read_own_metrics(fields: FieldReader) -> tuple[MetricSpec, ...]:
    """Read the metrics of one case, including its criteria."""
    node = fields.get("metrics")
    metrics = () if node is None else read_metrics(node, fields.owner, fields.problems)
    criteria = read_case_criteria(fields) if CRITERIA in fields.node.members else None
    return metrics if criteria is None else (*metrics, criteria)


def _read_cases(fields: FieldReader, files: _CaseFiles) -> tuple[Case, ...]:
    problems = fields.problems
    most_problems = len(problems) + MAX_PROBLEMS
    cases: dict[str, Case] = {}
    repeated = RepeatedProblems(problems)
    for node in _iter_case_nodes(fields, files):
        limit = None
        if len(problems) >= most_problems:
            limit = "too many problems; the cases from here on were not read."
        elif len(cases) == MAX_CASES:
            limit = f"a set may have {MAX_CASES:,} cases; here is one more. Split the set."
        if limit:
            problems.append(Problem(message=limit, where=node.where))
            break
        found: list[Problem] = []
        case = read_case(node, found, _read_own_metrics)
        repeated.add_all(found)
        if case is None:
            continue
        first = cases.setdefault(normalize_id(case.id), case)
        if first is not case:
            problems.append(Problem(message=describe_duplicate_id(case, first), where=case.where))
    repeated.count()
    if cases:
        # In a set with cases, an empty file is more likely a mistake than intended.
        for name in files.empty:
            message = f"case file {quote_short(name.text)} has no cases. Fill it or remove it here."
            problems.append(Problem(message=message, where=name.where))
    return tuple(cases.values())


def _digest_set(cases: Sequence[Case], metrics: Iterable[MetricSpec], gate: Iterable[Rule]) -> str:
    drafts = [case.id for case in cases if case.draft is not None]
    return digest(
        {
            **({"drafts": drafts} if drafts else {}),
            "cases": [[case.id, case.digest, case.tags, case.cluster] for case in cases],
            "metrics": [[spec.name, spec.ref, spec.args, spec.tags] for spec in metrics],
            "gate": [describe_content(rule) for rule in gate],
        }
    )
