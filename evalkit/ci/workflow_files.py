"""Write the files that run a set in CI, at the top of the repository that contains the set."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath

WORKFLOWS_FOLDER = ".github/workflows"
ACTION_FOLDER = ".github/actions/evalkit"
ACTION_PACKAGE = "evalkit_action"
TRUSTED_WORKFLOW = f"{WORKFLOWS_FOLDER}/evalkit.yml"
GITLAB_FILE = ".gitlab-ci.yml"

ACCEPT_WORKFLOW = f"{WORKFLOWS_FOLDER}/evalkit-accept.yml"
BASELINE_WORKFLOW = f"{WORKFLOWS_FOLDER}/evalkit-baseline.yml"
FORK_WORKFLOWS = {
    f"{WORKFLOWS_FOLDER}/evalkit-answers.yml": "answers.yml",
    f"{WORKFLOWS_FOLDER}/evalkit-gate.yml": "gate.yml",
}
_SETUP_HINT = "# Install what your agent needs here: - run: pip install -r requirements.txt"
_PLACEHOLDER = re.compile(r"""(?:\# |")?\{\{(\w+)\}\}"?""")
_VALUE_LINE = re.compile(r" +(sets|install|working-directory): [^|>\s]")
_PLAIN_YAML = re.compile(r"[A-Za-z_.][\w ./=-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a job of CI installs and runs.

    `folder` is where it runs, from the top of the repository, and `evalset` a set from there. `named_sets` is
    what runs instead of the folder of `evalset`. `requirement` is what pip installs evalkit
    from. `setup` is the command that installs what the agent needs; empty if that is unknown.
    """

    folder: str
    evalset: str
    requirement: str
    setup: str = ""
    named_sets: str = ""

    @property
    def sets(self) -> str:
        """What runs where several sets can: files, folders, or patterns."""
        return self.named_sets or PurePosixPath(self.evalset).parent.as_posix()


def build_workflow_files(host: str, job: Job, *, forks: bool) -> dict[str, str]:
    """Return the files for the repository's host by their names; for GitHub if the host is unknown."""
    if "gitlab" in host:
        return {GITLAB_FILE: fill_template("gitlab.yml", job)}
    if host and "github" not in host:
        return {}
    names = FORK_WORKFLOWS if forks else {TRUSTED_WORKFLOW: "trusted.yml"}
    workflows = {name: fill_template(template, job) for name, template in names.items()}
    return {
        **workflows,
        ACCEPT_WORKFLOW: build_accept_workflow(job, forks=forks),
        BASELINE_WORKFLOW: fill_template("baseline.yml", job),
        **read_action_files(),
    }


def build_accept_workflow(job: Job, *, forks: bool) -> str:
    """Return the workflow that a label starts: it runs again the one that runs the agent."""
    first = next(iter(FORK_WORKFLOWS)) if forks else TRUSTED_WORKFLOW
    return fill_template("accept.yml", job, workflow=first.rpartition("/")[2])


def read_action_files() -> dict[str, str]:
    """Return the files of the action that the workflows use."""
    package = files("evalkit.ci.templates").joinpath("action", ACTION_PACKAGE)
    modules = sorted(each.name for each in package.iterdir() if each.name.endswith(".py"))
    names = ("action.yml", "step.py", *(f"{ACTION_PACKAGE}/{name}" for name in modules))
    return {f"{ACTION_FOLDER}/{name}": read_template(f"action/{name}") for name in names}


def read_template(name: str) -> str:
    """Return the text of a template as it is."""
    return files("evalkit.ci.templates").joinpath(name).read_text(encoding="utf-8")


def fill_template(name: str, job: Job, **more: str) -> str:
    """Return a template with the values of a job, and `more`; a line whose value is empty is left out."""
    values = {**_build_values(job), **more}
    lines = []
    for line in read_template(name).splitlines(keepends=True):
        found = _PLACEHOLDER.search(line)
        if found is None:
            lines.append(line)
        elif text := values[found[1]]:
            lines.append(line.replace(found[0], text))
    return "".join(lines)


def _build_values(job: Job) -> dict[str, str]:
    below = "" if job.folder == "." else f"{job.folder}/"
    top = PurePosixPath(job.evalset).parent
    place, sets = shlex.quote(job.evalset), shlex.quote(job.sets)
    return {
        "set": _to_yaml(job.evalset),
        "sets": _to_yaml(job.sets),
        "folder": _to_yaml(job.folder) if below else "",
        "install": json.dumps(job.requirement, ensure_ascii=False),
        "setup": f"- run: {_to_yaml(job.setup)}" if job.setup else _SETUP_HINT,
        "gitlab_setup": f"- {_to_yaml(job.setup)}" if job.setup else "",
        "change_folder": _to_yaml(f"cd {shlex.quote(job.folder)}") if below else "",
        "ask": _to_yaml(f"evalkit ask {place} --trials 3 --run-id answers"),
        "run": _to_yaml(f"evalkit run {sets} --require-base --junit evalkit.xml"),
        "comment": _to_yaml(f"evalkit comment --set {sets} --post --only-changes"),
        "install_step": _to_yaml(f"python -m pip install {shlex.quote(job.requirement)}"),
        "record": _to_yaml(f"evalkit baseline {sets}"),
        # The artifact keeps the folders from the first wildcard on.
        "baselines": _to_yaml(f"{below}{top}/**/baselines/"),
        "baselines_top": _to_yaml(f"{below}{top}"),
        "baselines_spec": _to_yaml(f":(glob){below}{top}/**/baselines/**"),
        "answers_path": _to_yaml(f"{below}.evalkit/runs/answers/"),
        "runs_path": _to_yaml(f"{below}.evalkit/runs/"),
        "junit_path": _to_yaml(f"{below}evalkit.xml"),
    }


def _to_yaml(text: str) -> str:
    """Return a text as a YAML scalar, in quotes if it could mean anything else."""
    return text if _PLAIN_YAML.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def find_setup_command(folder: Path, top: Path) -> str:
    """Return the command that installs what the code in a folder needs, from the top of the repository.

    It is empty if no requirements file and no package with a build system is at or above the folder.
    """
    for each in (folder, *folder.parents):
        if not each.is_relative_to(top):
            break
        place = each.relative_to(top).as_posix()
        if (each / "requirements.txt").is_file():
            file = "requirements.txt" if place == "." else f"{place}/requirements.txt"
            return f"python -m pip install -r {shlex.quote(file)}"
        if _is_package(each / "pyproject.toml"):
            return f"python -m pip install {shlex.quote('.' if place == '.' else f'./{place}')}"
    return ""


def _is_package(path: Path) -> bool:
    import tomllib  # noqa: PLC0415 - only `evalkit init` reads it

    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "project" in read and "build-system" in read


def read_job(text: str, default: Job) -> tuple[Job, list[str]]:
    """Return the job of a workflow that `evalkit init` wrote, and the lines that somebody edited since.

    Another value of `sets`, `install`, or `working-directory` is no edit. What cannot be read is as in
    `default`.
    """
    values = {
        key: _from_yaml(found[1])
        for key in ("sets", "install", "working-directory")
        if (found := re.search(rf"^ +{key}: ([^|>\s].*)$", text, re.MULTILINE))
    }
    setup = re.search(r"^ +- run: (\"?(?:python -m )?pip install .*)$", text, re.MULTILINE)
    job = Job(
        folder=values.get("working-directory", "."),
        evalset=default.evalset,
        named_sets=values.get("sets", ""),
        requirement=values.get("install", default.requirement),
        setup=_from_yaml(setup[1]) if setup else "",
    )
    return job, _list_edits(fill_template("trusted.yml", job), text)


def _from_yaml(text: str) -> str:
    try:
        return str(json.loads(text)) if text.startswith('"') else text.strip().strip("'")
    except ValueError:
        return text


def _list_edits(written: str, text: str) -> list[str]:
    """Return the lines of a difference, without its header and its unchanged lines."""
    lines = difflib.ndiff(written.splitlines(), text.splitlines())
    return [line for line in lines if line[0] in "+-" and not _VALUE_LINE.match(line[1:])]


def has_text(path: Path, text: str) -> bool:
    """Return whether a file has exactly this text."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False
