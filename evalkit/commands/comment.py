"""`evalkit comment`: apply the gate to a stored run, and post the result on its pull request."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.ci.base import GateChoice
from evalkit.ci.github import (
    RETRY_DELAYS_S,
    CommentDraft,
    CommitStatus,
    find_github_repository,
    find_pull_request,
    post_comment,
    set_status,
)
from evalkit.commands.evaluation import evaluate_stored_run
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded, InvalidInput
from evalkit.core.gate_result import GateResult
from evalkit.core.redaction import Redactor
from evalkit.core.safe_text import one_line
from evalkit.evalset.project import Project
from evalkit.report.case_status import case_results, worst_first
from evalkit.report.content import gate_reason
from evalkit.report.model import Hint, Report
from evalkit.report.next_steps import CommandHints
from evalkit.report.pr_comment import CommentPlace, PullRequestComment, render_comment
from evalkit.store.refs import BaselineChoice

_KEY = re.compile(r"[0-9a-f]{8,64}")
_DETAILS_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./-]+")


def evaluate_for_comment(
    ref: str, baseline_choice: BaselineChoice, gate_choice: GateChoice, context: Context
) -> Report:
    """Apply the gate to a stored run as `evalkit gate` does, and add commands for a reviewer.

    Raises:
        EvalkitError: as `gate`.
    """
    project = Project.open(context)
    report = evaluate_stored_run(ref, baseline_choice, gate_choice, project, context)
    return replace(report, hints=tuple(_suggest_commands(report, CommandHints.of(project))))


def build_redacted_comment(
    report: Report, context: Context, *, key: str = "", how_to_accept: str = ""
) -> PullRequestComment:
    """Return the comment on a report, without the secrets of this environment.

    `key` and `how_to_accept` are as in `CommentPlace`.

    Raises:
        InvalidInput: the key is not in hexadecimal digits, or the event cannot be read.
    """
    if key and not _KEY.fullmatch(key):
        raise InvalidInput.single(f"--key {key!r}: write 8 to 64 hexadecimal digits.")
    pull = find_pull_request(context.environ, None)
    place = CommentPlace(
        details=_build_details_url(context.environ),
        commit=pull.sha if pull else "",
        key=key,
        how_to_accept=how_to_accept,
    )
    # Agents may print secrets, and a comment can be public.
    comment = render_comment(report, place)
    return comment._replace(text=Redactor(context.environ).redact_text(comment.text))


def _suggest_commands(report: Report, hints: CommandHints) -> Iterator[Hint]:
    """Yield commands for a reviewer with a checkout; the first one also needs the run's artifact."""
    run = report.run
    broken = worst_first(case_results(report.run, report.gate_result, report.baseline))
    if broken:
        case_id = broken[0].case.id
        yield Hint(
            label="look closer (with the run from the artifact)", command=hints.show(run, case_id)
        )
        again = f"evalkit run {hints.name_set(run)} --case {shlex.quote(case_id)}"
        yield Hint(label="run it locally", command=again)
    if report.gate_result.exit_code == ApprovalNeeded.exit_code and run.header.base_commit:
        yield Hint(label="if the edits of the gate are meant", command=hints.accept(run))
    elif report.gate_result.outcome == "fail" or broken:
        label = "accept, if it is meant: record the baseline and commit it"
        yield Hint(label=label, command=hints.record(run))


def _build_details_url(environ: Mapping[str, str]) -> str:
    """Return the URL of this workflow run; empty outside of one."""
    server, repository = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
    url = f"{server}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
    return url if server and repository and _DETAILS_URL.fullmatch(url) else ""


_MAX_STATUS_CHARS = 130
"""Below GitHub's limit of 140 characters, because GitHub may count them differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommentOptions:
    """How a comment is posted.

    `pull_request` is the number, for an event that does not contain it. With `only_changes`, post no new
    comment if nothing changed. With `status`, also set a status on the commit.
    """

    pull_request: int | None = None
    only_changes: bool = False
    status: bool = False
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S


def post_report(
    report: Report, comment: PullRequestComment, options: CommentOptions, context: Context
) -> tuple[str, ...]:
    """Post or update the comment, and return messages about what happened.

    Raises:
        InvalidInput: the environment does not say where to post.
    """
    repository = find_github_repository(context.environ)
    pull = find_pull_request(context.environ, options.pull_request)
    if pull is None:
        return ("no comment: this event has no pull request. Add --pull-request N.",)
    done, delays_s = [], options.retry_delays_s
    if options.status and not pull.sha:
        done.append("no status: the event names no commit.")
    elif options.status:
        status = build_status(report.run.header.evalset, report.gate_result)
        posted = asyncio.run(set_status(repository, pull.sha, status, retry_delays_s=delays_s))
        done.append(f"status {status.state} {posted.outcome}: {posted.detail}")
    draft = CommentDraft(
        comment.text, comment.marker, only_updates=options.only_changes and not comment.has_changes
    )
    posted = asyncio.run(post_comment(repository, pull, draft, retry_delays_s=delays_s))
    return (*done, f"comment {posted.outcome}: {posted.detail}")


def build_status(evalset: str, result: GateResult) -> CommitStatus:
    """Return a result as a commit status: an error if nothing could be decided."""
    state: Literal["success", "failure", "error"] = "success"
    if result.exit_code:
        state = "failure" if result.outcome == "fail" else "error"
    return CommitStatus(
        state=state,
        context=f"evalkit/{one_line(evalset, 60)}",
        description=one_line(gate_reason(result), _MAX_STATUS_CHARS),
    )
