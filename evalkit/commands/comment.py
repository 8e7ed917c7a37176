"""`evalkit comment`: a stored run, decided again, as the comment of a pull request."""

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
from evalkit.commands.gate import gate
from evalkit.core.context import Context
from evalkit.core.errors import ApprovalNeeded
from evalkit.core.gate_result import GateResult
from evalkit.core.project import find_project_root
from evalkit.core.redaction import Redactor
from evalkit.core.safe_text import one_line
from evalkit.report.case_status import case_results, worst_first
from evalkit.report.content import verdict_reason
from evalkit.report.model import Hint, Report
from evalkit.report.next_steps import CommandHints
from evalkit.report.pr_comment import PullRequestComment, render_comment
from evalkit.store.refs import BaselineChoice

_DETAILS_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./-]+")


def evaluate_for_comment(
    ref: str, against: BaselineChoice, choice: GateChoice, world: Context
) -> Report:
    """A stored run, decided as `evalkit gate` decides it, with what a reviewer may do next.

    Raises:
        EvalkitError: what `gate` raises.
    """
    report = gate(ref, against, choice, world)
    place = CommandHints(root=find_project_root(world.cwd, world.cwd), cwd=world.cwd)
    return replace(report, hints=tuple(_suggest_commands(report, place)))


def build_redacted_comment(report: Report, world: Context) -> PullRequestComment:
    """The comment on a decided run, without secrets of this environment."""
    comment = render_comment(report, details=build_details_url(world.environ))
    return comment._replace(text=Redactor(world.environ).redact_text(comment.text))


def _suggest_commands(report: Report, place: CommandHints) -> Iterator[Hint]:
    """The commands for somebody who has a checkout, and the artifact of the run if they like."""
    run = report.run
    broken = worst_first(case_results(report.run, report.gate_result, report.baseline))
    if broken:
        case_id = broken[0].case.id
        yield Hint(
            label="look closer (with the run from the artifact)", command=place.show(run, case_id)
        )
        again = f"evalkit run {place.name_set(run)} --case {shlex.quote(case_id)}"
        yield Hint(label="run it locally", command=again)
    if report.gate_result.exit_code == ApprovalNeeded.exit_code and run.header.base_commit:
        yield Hint(label="if the edits of the gate are meant", command=place.accept(run))
    elif report.gate_result.outcome == "fail" or broken:
        label = "accept, if it is meant: record the baseline and commit it"
        yield Hint(label=label, command=place.record(run))


def build_details_url(environ: Mapping[str, str]) -> str:
    """The page of this workflow run; empty where there is none."""
    server, repository = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
    url = f"{server}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
    return url if server and repository and _DETAILS_URL.fullmatch(url) else ""


_MAX_STATUS_CHARS = 140
"""Characters that GitHub takes; a few are left for what it counts otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommentOptions:
    """How a comment is posted.

    `pull_request` is its number where the event does not tell. With `only_news` no new comment is made
    where nothing changed. With `status` the commit is marked as well.
    """

    pull_request: int | None = None
    only_changes: bool = False
    status: bool = False
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S


def post_report(
    report: Report, comment: PullRequestComment, delivery: CommentOptions, world: Context
) -> tuple[str, ...]:
    """Post the comment, or update it; what became of it, in words.

    Raises:
        InvalidInput: it is not known where to.
    """
    forge = find_github_repository(world.environ)
    pull = find_pull_request(world.environ, delivery.pull_request)
    if pull is None:
        return ("no comment: this event is about no pull request. Give --pull-request N.",)
    told = []
    if delivery.status and not pull.sha:
        told.append("no status: the event names no commit.")
    elif delivery.status:
        status = build_status(report.run.header.evalset, report.gate_result)
        done = asyncio.run(set_status(forge, pull.sha, status, pauses_s=delivery.retry_delays_s))
        told.append(f"status {status.state} {done.outcome}: {done.detail}")
    draft = CommentDraft(
        comment.text, comment.marker, only_updates=delivery.only_changes and not comment.has_changes
    )
    posted = asyncio.run(post_comment(forge, pull, draft, pauses_s=delivery.retry_delays_s))
    return (*told, f"comment {posted.outcome}: {posted.detail}")


def build_status(evalset: str, verdict: GateResult) -> CommitStatus:
    """A verdict as a commit status: an error where nothing could be decided."""
    state: Literal["success", "failure", "error"] = "success"
    if verdict.exit_code:
        state = "failure" if verdict.outcome == "fail" else "error"
    return CommitStatus(
        state=state,
        context=f"evalkit/{one_line(evalset, 60)}",
        description=one_line(verdict_reason(verdict), _MAX_STATUS_CHARS - 10),
    )
