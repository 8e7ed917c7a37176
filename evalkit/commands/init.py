"""`evalkit init`: write a first set, a rubric and CI workflows that run in this repository."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalkit.agents.registry import check_agent
from evalkit.ci.requirement import Requirement, find_requirement
from evalkit.ci.workflow_files import (
    ACTION_FOLDER,
    GITLAB_FILE,
    TRUSTED_WORKFLOW,
    WORKFLOWS_FOLDER,
    Job,
    build_workflow_files,
    find_setup_command,
    has_text,
    read_job,
    read_template,
)
from evalkit.commands.entrypoint import ask_for_agent, check_entrypoint
from evalkit.commands.fork_workflows import migrate_to_forks
from evalkit.commands.initial_set import (
    FIRST_SET,
    SAMPLE_AGENT,
    InitialSet,
    build_initial_set,
    is_agent_url,
    read_questions,
)
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec
from evalkit.core.files import write_atomically
from evalkit.core.git import find_checkout
from evalkit.core.location import Problem
from evalkit.core.project import read_git_remote
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import read_file
from evalkit.evalset.loader import load_project
from evalkit.evalset.project import Project
from evalkit.report.init import InitResult


@dataclass(frozen=True, kw_only=True, slots=True)
class InitRequest:
    """What to write: paths start from the current folder, and `mapping` has the column of each field."""

    folder: Path
    agent: str | None = None
    questions: Path | None = None
    mapping: Mapping[str, str]
    forks: bool = False
    program: str = "evalkit"


def init(request: InitRequest, context: Context) -> InitResult:
    """Write a first set and its files into a folder, and workflows at the top of its repository.

    Raises:
        InvalidInput: a file already exists, or the agent does not; lists every problem and writes nothing.
    """
    folder = context.cwd / request.folder
    checkout = find_checkout(folder)
    # Search upward from the folder, whatever the current folder is.
    root = Project(folder, folder, context.environ).root
    top = checkout or root
    if os.path.lexists(folder) and not folder.is_dir():
        raise InvalidInput.single(f"{folder} is not a folder. Name a folder to write to.")
    host = read_git_remote(folder if folder.is_dir() else top, context.environ)
    only_forks = request.forks and request.agent is None and request.questions is None
    if only_forks and (top / TRUSTED_WORKFLOW).is_file():
        requirement = find_requirement(top, context.environ)
        return migrate_to_forks(top, requirement.text, context.cwd, is_git=checkout is not None)
    problems: list[Problem] = []
    started = _build_set(request, folder, root, context, problems)
    texts = {folder / name: text for name, text in started.texts.items()}
    place = folder.resolve() / started.evalset
    requirement = find_requirement(top, context.environ)
    job = Job(
        folder=root.relative_to(top).as_posix(),
        evalset=os.path.relpath(place, root),
        requirement=requirement.text,
        setup=find_setup_command(folder.resolve(), top),
    )
    workflows, notes = _choose_workflows(host, job, top, forks=request.forks, problems=problems)
    texts |= {top / name: text for name, text in workflows.items()}
    texts = {path: text for path, text in texts.items() if not _is_kept(path, text)}
    problems += _find_clashes(texts, context.cwd)
    if problems:
        raise InvalidInput(problems)
    # Write last, when only the disk can still fail.
    for path, text in texts.items():
        write_atomically(path, text)
    typed = shlex.quote(os.path.relpath(place, context.cwd.resolve()))
    program = request.program
    if program == "uvx":
        source = (
            str(top / requirement.text) if requirement.text.startswith(".") else requirement.text
        )
        program = f"uvx --from {shlex.quote(source)} evalkit"
    again = _suggest_another_attempt(request, started, program, context.cwd)
    return InitResult(
        written=tuple(_show_path(path, context.cwd) for path in texts),
        notes=(*notes, *_describe_requirement(requirement, workflows), *started.notes, *again),
        left_out=started.left_out,
        commands=(f"{program} baseline {typed} && {program} run {typed}",),
    )


def _suggest_another_attempt(
    request: InitRequest, started: InitialSet, program: str, cwd: Path
) -> list[str]:
    """Return the command that makes the set anew with its expected answers, if it has none."""
    if not started.lacks_expected or request.questions is None:
        return []
    own = [_show_path(cwd / request.folder / name, cwd) for name in started.own_files]
    mapping = [f"--map={field}={column}" for field, column in request.mapping.items()]
    agent = ["--agent", request.agent] if request.agent else []
    folder = [] if request.folder == Path() else [str(request.folder)]
    words = ["init", *folder, "--from", str(request.questions), *agent, *mapping]
    return [
        (
            f"To make it anew with the expected answers: rm {shlex.join(own)} && {program} "
            f"{shlex.join(words)} --map expected=COLUMN"
        )
    ]


def _build_set(
    request: InitRequest, folder: Path, root: Path, context: Context, problems: list[Problem]
) -> InitialSet:
    """Return the set and its files; add what is wrong with its agent or cases to `problems`."""
    first = folder / FIRST_SET
    ref, shared = None, None
    environment = RunEnvironment(root=root, set_folder=first.parent, environ=context.environ)
    if is_agent_url(request.agent):
        ref = request.agent
        of_url = AgentSpec(kind="http", args={"url": ref})
        problems += check_agent(of_url, (), environment)
    elif request.agent is not None:
        ref = check_entrypoint(
            request.agent, first.parent, root=root, cwd=context.cwd, problems=problems
        )
    else:
        shared = load_project(first, root, problems).agent
    if shared is not None and shared.kind == "python":
        problems += check_agent(shared, (), environment)
    questions = None
    if request.questions is not None:
        if ref is None and shared is None:
            problems.append(Problem(message=ask_for_agent(context.cwd)))
        questions = read_questions(context.cwd / request.questions, request.mapping, problems)
    has_judge = bool(load_project(first, root, []).judges)
    return build_initial_set(
        ref, questions, shared_agent=shared is not None, shared_judge=has_judge
    )


def _choose_workflows(
    host: str, job: Job, top: Path, *, forks: bool, problems: list[Problem]
) -> tuple[dict[str, str], list[str]]:
    """Return the files for CI that are not there yet, and what the user has to do for those that are."""
    texts = build_workflow_files(host, job, forks=forks)
    notes = []
    if not texts:
        notes.append(
            f"There is no workflow for {host}. Run the commands below in its CI, with --junit FILE."
        )
    texts = {name: text for name, text in texts.items() if not has_text(top / name, text)}
    if GITLAB_FILE in texts and (top / GITLAB_FILE).exists():
        part = ".gitlab/evalkit.gitlab-ci.yml"
        texts = {part: texts[GITLAB_FILE]}
        notes.append(f"Add to {GITLAB_FILE}:  include: [{{local: {part}}}]")
    if TRUSTED_WORKFLOW in texts and (top / TRUSTED_WORKFLOW).exists():
        texts = {
            name: text for name, text in texts.items() if not name.startswith(WORKFLOWS_FOLDER)
        }
        notes.append(
            f"{TRUSTED_WORKFLOW} is there already, and stays as it is. {_describe_sets(job, top)}"
        )
    for name in sorted(texts):
        if name.startswith(ACTION_FOLDER) and (top / name).exists():
            del texts[name]
            message = f"{name} is not that of this version. Delete {ACTION_FOLDER} to have it written anew."
            problems.append(Problem(message=message))
    return texts, notes


def _describe_sets(job: Job, top: Path) -> str:
    """Return whether the workflow that is there runs the set of a job, or how to add it."""
    text = read_file(top / TRUSTED_WORKFLOW).decode(errors="replace")
    found, _ = read_job(text, job)
    runs = top / found.folder / found.named_sets
    if found.named_sets and (top / job.folder / job.evalset).is_relative_to(runs):
        return f"It runs the new set, because it runs all of {found.named_sets}."
    return (
        "If it does not run the new set yet, list all sets there under `sets: |`, each on its own line: "
        f"{job.sets}"
    )


def _describe_requirement(requirement: Requirement, workflows: Mapping[str, str]) -> list[str]:
    """Return what CI will install, if any file says so."""
    files = [name for name, text in workflows.items() if requirement.text in text]
    if not files:
        return []
    note = requirement.note or f"CI installs {requirement.text}."
    if requirement.is_local:
        note += (
            f" In {' and '.join(files)}, replace it by what CI can install: a version, "
            "git+https://HOST/OWNER/evalkit@COMMIT, or a wheel that you commit."
        )
    return [note]


def _describe_sample(path: Path, cwd: Path) -> str:
    """Return how to make a set anew that tests the sample agent; empty for another file."""
    sample = path.with_name(SAMPLE_AGENT)
    if not has_text(sample, read_template(SAMPLE_AGENT)) or path.suffix != ".yaml":
        return ""
    if f"python: './{SAMPLE_AGENT}:answer'" not in read_file(path).decode(errors="replace"):
        return ""
    old = shlex.join(_show_path(file, cwd) for file in (path, sample))
    return f"it tests the sample agent. If you do not need it: rm {old}, and call init again."


def _is_kept(path: Path, text: str) -> bool:
    """Return whether a file stays as it is: it has this content, or it is a rubric or schema of the user."""
    if path.is_symlink() or not path.is_file():
        return False
    return path.suffix == ".json" or path.parent.name == "rubrics" or has_text(path, text)


def _show_path(path: Path, cwd: Path) -> str:
    # A link itself keeps its name.
    return os.path.relpath(path.parent.resolve() / path.name, cwd.resolve())


def _find_clashes(texts: Mapping[Path, str], cwd: Path) -> list[Problem]:
    """Return every file that already exists, and every path where no file can be written."""
    messages = []
    for path in texts:
        if os.path.lexists(path):
            remedy = _describe_sample(path, cwd) or "move it away."
            messages.append(
                f"{_show_path(path, cwd)} already exists. Nothing is overwritten; {remedy}"
            )
            continue
        messages += [
            f"{_show_path(above, cwd)} is not a folder, so {path.name} cannot be written. Move it away."
            for above in path.parents
            if os.path.lexists(above) and not above.is_dir()
        ]
    return [Problem(message=message) for message in dict.fromkeys(messages)]
