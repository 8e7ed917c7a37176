"""Make check runs on GitHub: a verdict with its report, and annotations beside the lines of a change.

Fields: docs.github.com, "REST API endpoints for check runs".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.core.literals import Json
from evalkit.core.safe_text import escape_unsafe, one_line
from evalkit.hosts.comments import CommitStatus, PostResult, explain_refusal
from evalkit.hosts.github import GitHubPullRequest
from evalkit.hosts.rest_api import RequestRefused, get_id, get_text
from evalkit.report.annotations import Annotation

_PER_REQUEST = 50
"""Annotations that one request may have; further ones are added by updates."""

_MAX_SUMMARY_BYTES = 65_000
_MAX_TITLE_CHARS = 200
_MAX_MESSAGE_BYTES = 60_000
_LEVELS = {"error": "failure", "warning": "warning"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckRun:
    """A check run: its name, state, and title in `status`, a summary in Markdown, and annotations."""

    status: CommitStatus
    needs_approval: bool
    summary: str
    annotations: Sequence[Annotation]

    @property
    def conclusion(self) -> str:
        """The conclusion. Never `neutral`, which satisfies a required check."""
        if self.needs_approval:
            return "action_required"
        return "success" if self.status.state == "success" else "failure"


async def post_check(pull: GitHubPullRequest, check: CheckRun) -> PostResult:
    """Make a completed check run of the head commit, with all annotations."""
    batches = [
        [_describe(each) for each in check.annotations[start : start + _PER_REQUEST]]
        for start in range(0, max(len(check.annotations), 1), _PER_REQUEST)
    ]
    first: Json = {
        "name": check.status.context,
        "head_sha": pull.sha,
        "status": "completed",
        "conclusion": check.conclusion,
        "output": _describe_output(check, batches[0]),
    }
    try:
        async with pull.api:
            made = await pull.api.request("POST", "check-runs", first)
            for batch in batches[1:]:
                more: Json = {"output": _describe_output(check, batch)}
                await pull.api.request("PATCH", f"check-runs/{get_id(made)}", more)
    except RequestRefused as refusal:
        return PostResult("refused", explain_refusal(refusal, pull, "check"))
    return PostResult("created", get_text(made, "html_url"))


def _describe_output(check: CheckRun, annotations: list[Json]) -> Json:
    return {
        "title": check.status.description,
        "summary": check.summary.encode()[:_MAX_SUMMARY_BYTES].decode(errors="ignore"),
        "annotations": annotations,
    }


def _describe(annotation: Annotation) -> Json:
    line = max(annotation.where.line, 1)
    message = escape_unsafe(annotation.message, newlines=True).encode()[:_MAX_MESSAGE_BYTES]
    return {
        "path": annotation.where.path,
        "start_line": line,
        "end_line": line,
        "annotation_level": _LEVELS[annotation.level],
        "title": one_line(annotation.title, _MAX_TITLE_CHARS),
        "message": message.decode(errors="ignore"),
    }
