"""Find what a sampled set is written with: known sets, the agent and judge of another set, and rubrics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.errors import InvalidInput
from evalkit.core.files import path_exists
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.rubric import Rubric
from evalkit.core.source_files import UnreadableFile, display_path, read_file
from evalkit.evalset.loader import load_project
from evalkit.evalset.nodes import MappingNode, to_plain_value
from evalkit.evalset.project import Project
from evalkit.evalset.rubrics import load_rubric
from evalkit.evalset.set_files import list_sets
from evalkit.evalset.yaml import parse_yaml
from evalkit.traffic.rubric_files import RUBRICS, rubric_path

LEXICAL = "lexical"


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedSections:
    """The agent and the judge of a new set; None where the project file has them."""

    agent: Json
    judge: Json

    @property
    def has_lexical_judge(self) -> bool:
        """Whether the judge has no model."""
        return bool(self.judge == LEXICAL)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRubric:
    """A rubric, its path from the set's folder, and the text to write there if the project lacks it."""

    rubric: Rubric
    ref: str
    path: Path
    text: str = ""


def find_known_sets(
    named: Sequence[Path], target: Path | None, project: Project
) -> tuple[Path, ...]:
    """Return the sets whose cases are known: those named, else all in the folder of the new set.

    Without a new set they are those in `evalsets/`.

    Raises:
        InvalidInput: a named set cannot be read.
    """
    if named:
        paths = tuple(project.cwd / path for path in named)
        problems = [problem for path in paths for problem in project.load(path)[1]]
        if problems:
            raise InvalidInput(problems)
        return paths
    folder = target.parent if target is not None else project.root / "evalsets"
    return list_sets([folder]) if path_exists(folder) else ()


def read_shared_sections(sets: Sequence[Path], target: Path, project: Project) -> SharedSections:
    """Return the agent and judge for a new set: those of the project file, else of the known sets.

    Raises:
        InvalidInput: no set has an agent, or several have different ones.
    """
    problems: list[Problem] = []
    has_agent = load_project(target, project.root, problems).agent is not None
    if problems:
        raise InvalidInput(problems)
    # Paths in a section start from the folder of its set.
    folder = target.parent.resolve()
    sections = [_read_sections(path) for path in sets if path.parent.resolve() == folder]
    agents = [each["agent"] for each in sections if each.get("agent") is not None]
    return SharedSections(
        agent=None if has_agent else _choose_agent(agents, target),
        judge=choose_judge(sets, target, project),
    )


def choose_judge(sets: Sequence[Path], target: Path, project: Project) -> Json:
    """Return the judge for a new set: None for that of the project file, else that of the first known set.

    Without any, it is the one without a model.
    """
    if load_project(target, project.root, []).judges:
        return None
    judges = (_read_sections(path).get("judge") for path in sets)
    return next((judge for judge in judges if judge is not None), LEXICAL)


def _choose_agent(agents: Sequence[Json], target: Path) -> Json:
    if agents and all(agent == agents[0] for agent in agents):
        return agents[0]
    found = "several agents" if agents else "no set with an agent"
    raise InvalidInput.single(
        f"{display_path(target)}: its folder has {found}, and evalkit.yaml names none. Name a set in this "
        "folder, whose agent the new set shall have: --like SET"
    )


def _read_sections(path: Path) -> dict[str, Json]:
    try:
        node = parse_yaml(read_file(path), display_path(path), [])
    except UnreadableFile as error:
        raise InvalidInput.single(f"{display_path(path)} {error}") from None
    members = node.members if isinstance(node, MappingNode) else {}
    return {key: to_plain_value(members[key].node) for key in ("agent", "judge") if key in members}


def find_rubric(name: str, folder: Path, project: Project) -> FoundRubric:
    """Return a rubric by its path, or by the name of one in `rubrics/` or one that evalkit ships.

    Raises:
        InvalidInput: there is none, it is not valid, or it needs a reference, which traffic lacks.
    """
    own = project.root / "rubrics" / f"{name}.yaml"
    is_path = "/" in name or name.endswith((".yaml", ".yml"))
    shipped = not is_path and not path_exists(own)
    if shipped and name not in RUBRICS:
        raise InvalidInput.single(
            f"--judge {name!r} is no rubric. Shipped: {', '.join(RUBRICS)}. Name a rubric of your own by "
            "its path."
        )
    path = rubric_path(name) if shipped else own if not is_path else project.cwd / name
    rubric, problems = load_rubric(path)
    if rubric is None:
        raise InvalidInput(problems)
    if "reference" in rubric.needs:
        raise InvalidInput.single(
            f"--judge {name}: the rubric needs a reference, which recorded answers do not have. Without "
            f"one: {', '.join(RUBRICS)}."
        )
    if not shipped:
        return FoundRubric(rubric=rubric, ref=os.path.relpath(path, folder), path=path)
    target = folder / "rubrics" / f"{name}.yaml"
    text = "" if path_exists(target) else path.read_text(encoding="utf-8")
    return FoundRubric(rubric=rubric, ref=f"rubrics/{name}.yaml", path=target, text=text)
