"""`evalkit comment`: apply the gate to stored runs, and post the results on their pull request."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evalkit.ci.base import GateChoice
from evalkit.commands.evaluation import evaluate_stored_run
from evalkit.core.context import Context
from evalkit.core.errors import EXIT_PASSED, ApprovalNeeded, InvalidInput
from evalkit.core.gate_result import GateResult
from evalkit.core.literals import Outcome
from evalkit.core.redaction import Redactor
from evalkit.core.safe_text import one_line
from evalkit.evalset.project import Project
from evalkit.hosts.comments import (
    MAX_STATUS_CHARS,
    CommentDraft,
    CommitStatus,
    StatusState,
    post_comment,
    post_status,
)
from evalkit.hosts.github import GitHubPullRequest
from evalkit.hosts.github_checks import CheckRun, post_check
from evalkit.hosts.known_hosts import choose_host
from evalkit.report.annotations import Annotation, find_annotations
from evalkit.report.batch import Batch
from evalkit.report.batch_markdown import render_batch_comment
from evalkit.report.case_status import case_results, worst_first
from evalkit.report.content import gate_reason
from evalkit.report.model import Hint, Report
from evalkit.report.next_steps import CommandHints
from evalkit.report.pr_comment import CommentPlace, PullRequestComment, render_comment
from evalkit.store.refs import BaselineChoice

_KEY = re.compile(r"[0-9a-f]{8,64}")
_DETAILS_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./?=%-]+")

_JOB_VARIABLES = ("GITHUB_WORKFLOW", "GITHUB_JOB", "CI_JOB_NAME", "BUILD_DEFINITIONNAME")
"""What names a job on GitHub, GitLab, and Azure; on Bitbucket, nothing does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommentOptions:
    """What a comment says, and whether and how it is posted.

    `pull_request` is the number, for an event that does not contain it. With `only_changes`, post no new
    comment if nothing changed. With `status`, also set a status on the commit; with `check`, make a check
    run with annotations, which only GitHub has, under `check_name` or else the name of the status. `sets`
    are the sets as the user named them. `key` and `how_to_accept` are as in `CommentPlace`.
    """

    post: bool = False
    pull_request: int | None = None
    only_changes: bool = False
    status: bool = False
    check: bool = False
    check_name: str = ""
    sets: str = ""
    key: str = ""
    how_to_accept: str = ""


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
    report: Report, options: CommentOptions, context: Context
) -> PullRequestComment:
    """Return the comment on a report, without the secrets of this environment, for the host of its build.

    Raises:
        InvalidInput: the key is not in hexadecimal digits, or the event cannot be read.
    """
    return _redact(render_comment(report, _choose_place(options, context)), context)


def build_redacted_batch_comment(
    batch: Batch, options: CommentOptions, context: Context
) -> PullRequestComment:
    """Return the comment on several runs, without the secrets of this environment.

    Raises:
        InvalidInput: as `build_redacted_comment`.
    """
    # The runs of another push have the same job, and so the same comment.
    job = " ".join(filter(None, (context.environ.get(name, "") for name in _JOB_VARIABLES)))
    return _redact(render_batch_comment(batch, _choose_place(options, context), job=job), context)


def _choose_place(options: CommentOptions, context: Context) -> CommentPlace:
    if options.key and not _KEY.fullmatch(options.key):
        raise InvalidInput.single(f"--key {options.key!r}: write 8 to 64 hexadecimal digits.")
    host = choose_host(context.environ)
    url = host.build_url(context.environ)
    return CommentPlace(
        details=url if _DETAILS_URL.fullmatch(url) else "",
        commit=host.find_sha(context.environ),
        key=options.key,
        how_to_accept=options.how_to_accept,
        max_bytes=host.max_bytes,
        has_html=host.has_html,
    )


def _redact(comment: PullRequestComment, context: Context) -> PullRequestComment:
    # Agents may print secrets, and a comment can be public.
    return comment._replace(body=Redactor(context.environ).redact_text(comment.body))


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
        # Recorded in the change itself, a baseline needs approval as well.
        label = "if it is meant, record the baseline after the merge"
        yield Hint(label=label, command=hints.record(run))


def post_report(
    report: Report, comment: PullRequestComment, options: CommentOptions, context: Context
) -> tuple[str, ...]:
    """Post or update the comment, and return messages about what happened.

    Raises:
        InvalidInput: the environment does not say where to post, or its host has no check runs.
    """
    result = report.gate_result
    status = build_status(report.run.header.evalset, result)
    check = CheckRun(
        status=status,
        needs_approval=result.exit_code == ApprovalNeeded.exit_code,
        summary=comment.text,
        annotations=_annotate([report], context),
    )
    return _post(comment, check, options, context)


def post_batch(
    batch: Batch, comment: PullRequestComment, options: CommentOptions, context: Context
) -> tuple[str, ...]:
    """Post or update the comment on several runs, and return messages about what happened.

    Raises:
        InvalidInput: as `post_report`.
    """
    status = CommitStatus(
        state=_choose_state(batch.outcome, batch.exit_code),
        context=one_line(f"evalkit/{options.sets}" if options.sets else "evalkit", 60),
        description=one_line(batch.reason, MAX_STATUS_CHARS),
    )
    check = CheckRun(
        status=status,
        needs_approval=batch.exit_code == ApprovalNeeded.exit_code,
        summary=comment.text,
        annotations=_annotate(batch.reports, context),
    )
    return _post(comment, check, options, context)


def _annotate(reports: Sequence[Report], context: Context) -> list[Annotation]:
    """Return the annotations of all reports, without secrets."""
    redactor = Redactor(context.environ)
    return [
        each._replace(message=redactor.redact_text(each.message))
        for report in reports
        for each in find_annotations(report).in_order
        if each.where.path
    ]


def _post(
    comment: PullRequestComment, check: CheckRun, options: CommentOptions, context: Context
) -> tuple[str, ...]:
    host = choose_host(context.environ)
    if options.check and not host.has_checks:
        raise InvalidInput.single(
            f"{host.name} has no check runs. Use --status instead of --check."
        )
    pull = host.find(context.environ, options.pull_request)
    if pull is None:
        return (f"no comment: this build has no {host.request}. Add --pull-request N.",)
    done, status = [], check.status
    if (options.status or options.check) and not pull.sha:
        done.append("no status: the build names no commit.")
    elif options.status:
        posted = asyncio.run(post_status(pull, status))
        done.append(f"status {status.state} {posted.outcome}: {posted.detail}")
    if options.check and pull.sha and isinstance(pull, GitHubPullRequest):
        named = status._replace(context=options.check_name or status.context)
        posted = asyncio.run(post_check(pull, replace(check, status=named)))
        done.append(f"check run {status.state} {posted.outcome}: {posted.detail}")
    only_updates = options.only_changes and not comment.has_changes
    draft = CommentDraft(comment.text, comment.marker, status.state, only_updates)
    posted = asyncio.run(post_comment(pull, draft))
    return (*done, f"comment {posted.outcome}: {posted.detail}")


def build_status(evalset: str, result: GateResult) -> CommitStatus:
    """Return a result as a commit status: an error if nothing could be decided."""
    return CommitStatus(
        state=_choose_state(result.outcome, result.exit_code),
        context=f"evalkit/{one_line(evalset, 60)}",
        description=one_line(gate_reason(result), MAX_STATUS_CHARS),
    )


def _choose_state(outcome: Outcome, exit_code: int) -> StatusState:
    if exit_code == EXIT_PASSED:
        return "success"
    return "failure" if outcome == "fail" else "error"
