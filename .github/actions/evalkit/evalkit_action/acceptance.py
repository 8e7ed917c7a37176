"""Who accepts the commit under test by a label, according to GitHub, and what that gives evalkit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from .pull_request import TROUBLE, GitHub, Pull, find_pull
from .workflow_commands import print_line

ROLES = ("read", "triage", "write", "maintain", "admin")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NEVER = "9999-12-31T00:00:00Z"


class LabelDecision(NamedTuple):
    """Who accepted the commit under test; else why a label does not accept it, or nothing."""

    who: str = ""
    problem: str = ""


def find_accept_options(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the option that accepts the change, and why a label that is there does not count.

    The facts come from GitHub's API, before any code of the change runs in this step.
    """
    if environ.get("EVALKIT_ACCEPT", "") == "true":
        return ["--accept-gate-changes"], ""
    github = GitHub(environ)
    if not environ.get("EVALKIT_ACCEPT_LABEL") or not github.is_usable:
        return [], ""
    try:
        pull = find_pull(environ, github)
        found = find_acceptance(environ, github, pull) if pull else LabelDecision()
    except TROUBLE as error:
        found = LabelDecision(problem=f"The label could not be checked: {error}")
    if found.problem:
        print_line(f"::warning title=not accepted::{found.problem}")
    options = [f"--accepted-by={found.who}@{environ['EVALKIT_HEAD']}"] if found.who else []
    return options, found.problem


def find_acceptance(environ: Mapping[str, str], github: GitHub, pull: Pull) -> LabelDecision:
    """Return who accepted the commit of this job by a label.

    Every fact is GitHub's own: who applied the label and when, that person's role, and when the first
    attempt of this workflow run ended, and how. So a label counts for the commit whose result was there before it,
    and for no later one.

    Raises:
        RequestFailed: the API did not answer.
    """
    label, least = environ.get("EVALKIT_ACCEPT_LABEL", ""), environ.get("EVALKIT_ACCEPT_ROLE", "")
    event = github.find_labeling(pull.number, label) if label else None
    if event is None:
        return LabelDecision()
    actor = event["actor"] or {}
    login = str(actor.get("login", ""))
    if actor.get("type") != "User" or not _LOGIN.fullmatch(login):
        return LabelDecision(problem=f"A person has to apply the label {label!r}.")
    role = github.read_role(login)
    if least not in ROLES or role not in ROLES or ROLES.index(role) < ROLES.index(least):
        return LabelDecision(problem=f"{login} has the role {role!r}; accepting needs {least!r}.")
    run, attempt = environ.get("EVALKIT_RUN", ""), environ.get("EVALKIT_ATTEMPT", "")
    again = f"Remove the label {label!r} and apply it again, after reading the result of {pull.sha[:10]}."
    if not (run.isdecimal() and attempt.isdecimal()) or int(attempt) < 2:
        return LabelDecision(problem=f"The label is older than the result of this commit. {again}")
    jobs = github.read_first_jobs(run)
    ends = [each["completed_at"] for each in jobs]
    ours = all(each["head_sha"] == pull.sha for each in jobs)
    if not ends or not all(ends) or not ours:
        return LabelDecision(problem=f"The first attempt of this run has no end. {again}")
    answered = bool(environ.get("EVALKIT_ANSWERS"))
    if not _has_result(jobs, answered=answered):
        return LabelDecision(
            problem="The first attempt of this run has no result to accept: a job was canceled or skipped, "
            "several steps of a job failed, or none did. Push another commit, and read its result."
        )
    if answered:
        # The answers end before the gate decides, and only the gate sets the status.
        ends += github.read_result_times(pull.sha)[:1] or [_NEVER]
    if _parse_time(event["created_at"]) < max(map(_parse_time, ends)):
        return LabelDecision(problem=f"The label is older than the result of this commit. {again}")
    return LabelDecision(who=login)


def _has_result(jobs: Sequence[Mapping[str, Any]], *, answered: bool) -> bool:
    """Return whether jobs ended with a result that a person can accept.

    If the answers come from another workflow, all jobs of that one succeed. Else one job fails, in the one
    step that runs the sets. A job that was skipped, for example because the one that it needs failed, would
    have its first result only now.
    """
    conclusions = {each.get("conclusion") for each in jobs}
    if answered:
        return conclusions == {"success"}
    failed = [
        [step for step in each.get("steps") or () if step.get("conclusion") == "failure"]
        for each in jobs
    ]
    return "failure" in conclusions <= {"success", "failure"} and max(map(len, failed)) <= 1


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
