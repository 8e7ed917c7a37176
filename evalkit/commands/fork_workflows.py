"""Replace the workflow for trusted authors by the two workflows for pull requests from forks."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

from evalkit.ci.workflow_files import (
    ACCEPT_WORKFLOW,
    ACTION_FOLDER,
    BASELINE_WORKFLOW,
    TRUSTED_WORKFLOW,
    Job,
    build_accept_workflow,
    build_workflow_files,
    has_text,
    read_job,
)
from evalkit.core.errors import InvalidInput
from evalkit.core.files import write_atomically
from evalkit.core.location import Problem
from evalkit.core.source_files import names_several, read_file
from evalkit.evalset.set_files import find_sets
from evalkit.report.init import InitResult


def migrate_to_forks(top: Path, requirement: str, cwd: Path, *, is_git: bool) -> InitResult:
    """Write the two workflows with what the one has, and remove that one unless somebody edited it.

    Raises:
        InvalidInput: one of the two is there already, or the action is not that of this version.
    """
    text = read_file(top / TRUSTED_WORKFLOW).decode(errors="replace")
    default = Job(folder=".", evalset="evalsets/first.yaml", requirement=requirement)
    job, edits = read_job(text, default)
    job, others = _choose_set(job, top)
    texts = build_workflow_files("", job, forks=True)
    if os.path.lexists(top / BASELINE_WORKFLOW):
        del texts[BASELINE_WORKFLOW]
    new = [name for name in texts if not has_text(top / name, texts[name])]
    # This one names the workflow that it starts, and nobody edited it.
    replaced = {ACCEPT_WORKFLOW} if _has_written_accept(top, job) else set()
    problems = [
        Problem(message=_describe_clash(name))
        for name in new
        if os.path.lexists(top / name) and name not in replaced
    ]
    if problems:
        raise InvalidInput(problems)
    for name in new:
        write_atomically(top / name, texts[name])
    shown = {
        name: os.path.relpath(top / name, cwd.resolve()) for name in (*texts, TRUSTED_WORKFLOW)
    }
    old = shown[TRUSTED_WORKFLOW]
    notes = [f"The two workflows run {job.evalset}, and install {job.requirement}, as {old} did."]
    if others:
        notes.append(f"They run one set. To run another one, name it in both: {', '.join(others)}.")
    if edits:
        notes.append(
            f"{old} stays, because somebody edited it. Copy what the agent needs to evalkit-answers.yml, "
            "and what the judge needs to evalkit-gate.yml:"
        )
        notes += [f"  {line}" for line in edits]
    else:
        (top / TRUSTED_WORKFLOW).unlink()
    workflows = os.path.relpath(top / ".github", cwd.resolve())
    commit = f'git add {shlex.quote(workflows)} && git commit -m "Gate pull requests from forks"'
    return InitResult(
        written=tuple(shown[name] for name in new),
        removed=() if edits else (old,),
        notes=tuple(notes),
        commands=(f"rm {shlex.quote(old)}",) if edits else ((commit,) if is_git else ()),
    )


def _choose_set(job: Job, top: Path) -> tuple[Job, list[str]]:
    """Return the job with the first set that it runs, and the others.

    Raises:
        InvalidInput: it names no set.
    """
    folder = top / job.folder
    named = [folder / job.sets]
    if not names_several(*named):
        return replace(job, evalset=job.sets), []
    first, *others = (os.path.relpath(path, folder) for path in find_sets(named).sets)
    return replace(job, evalset=first), others


def _has_written_accept(top: Path, job: Job) -> bool:
    return has_text(top / ACCEPT_WORKFLOW, build_accept_workflow(job, forks=False))


def _describe_clash(name: str) -> str:
    if name.startswith(ACTION_FOLDER):
        return (
            f"{name} is not that of this version. Delete {ACTION_FOLDER} to have it written anew."
        )
    return f"{name} already exists, and differs. Nothing is overwritten; move it away."
