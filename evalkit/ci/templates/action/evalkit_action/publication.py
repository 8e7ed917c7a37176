"""Show a notice wherever a result would be: log, step summary, comment, status, and check run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .comments import is_decided, mark_others, read_comments, write_comments
from .job import list_jobs, name_check, read_name, read_sets
from .notice import Notice, annotate_notice, format_notice, redact_reason
from .pull_request import TROUBLE, GitHub
from .workflow_commands import print_line


def publish(
    notice: Notice, sets: Sequence[str], environ: Mapping[str, str], *, keeps_decided: bool = False
) -> None:
    """Write a notice on some sets to the log, the step summary, and the comment.

    With `keeps_decided`, a comment that this job has written on its result stays as it is.
    """
    notice = notice._replace(reason=redact_reason(notice.reason, environ))
    print_line(annotate_notice(notice, environ))
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(f"{format_notice(notice, sets, environ)}\n")
    post_notice(notice, sets, environ, keeps_decided=keeps_decided)


def post_notice(
    notice: Notice, sets: Sequence[str], environ: Mapping[str, str], *, keeps_decided: bool = False
) -> None:
    """Write a notice on some sets to the comment, and to the status of the commit."""
    notice = notice._replace(reason=redact_reason(notice.reason, environ))
    try:
        found = read_comments(environ)
        if found and keeps_decided:
            sets = [each for each in sets if not is_decided(each, found, environ)]
        if found:
            text = format_notice(notice, sets, environ)
            write_comments(text, "undecided", sets, found, environ)
        _set_statuses("error", notice.heading, sets, environ)
        _set_checks(notice, sets, environ)
    except TROUBLE as error:
        _warn_of_failure(error)


def announce_start(environ: Mapping[str, str]) -> None:
    """Mark the comments, statuses, and check runs of earlier commits as out of date.

    A comment of another job counts as well: the job may not run any more, or under another name.
    """
    try:
        if found := read_comments(environ):
            write_comments("", "running", read_sets(environ), found, environ)
        _set_statuses("pending", "RUNNING", read_sets(environ), environ)
        _set_checks(None, read_sets(environ), environ)
        if found:
            mark_others(found, environ)
    except TROUBLE as error:
        _warn_of_failure(error)


def _set_statuses(state: str, text: str, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Set the status of the commit for each set, where this run is not itself a check of it."""
    github, sha = GitHub(environ), environ.get("EVALKIT_HEAD", "")
    if not environ.get("EVALKIT_ANSWERS") or not sha or not github.is_usable:
        return
    for evalset in sets:
        body = {
            "state": state,
            "context": f"evalkit/{read_name(evalset, environ)}",
            "description": text,
        }
        github.request("POST", f"statuses/{sha}", body)


def _set_checks(notice: Notice | None, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Make a check run that failed with a notice, or one that is under way."""
    github, sha = GitHub(environ), environ.get("EVALKIT_HEAD", "")
    if environ.get("EVALKIT_CHECK") != "true" or not sha or not github.is_usable:
        return
    for job in list_jobs(environ):
        if set(job).isdisjoint(sets):
            continue
        body: dict[str, object] = {
            "name": name_check(job, environ),
            "head_sha": sha,
            "status": "in_progress",
        }
        if notice is not None:
            output = {"title": notice.heading, "summary": format_notice(notice, job, environ)}
            body |= {"status": "completed", "conclusion": "failure", "output": output}
        github.request("POST", "check-runs", body)


def _warn_of_failure(error: Exception) -> None:
    print_line(
        f"The pull request was not updated: {error}. The job needs: permissions: pull-requests: write, "
        "and checks: write for a check run"
    )
