"""Why nothing was decided: from how a job ended to the texts about it, without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .job import describe_road, find_folder, run_url
from .workflow_commands import escape

_PLACE = re.compile(r"(?P<file>[\w./-]+\.\w+):(?P<line>\d+): (?P<text>.+)")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|COOKIE|DSN", re.IGNORECASE)
_MAX_LINES = 20
_MAX_CHARS = 3000


class Notice(NamedTuple):
    """Why nothing was decided: a title, the reason as it was printed, and what to do."""

    title: str
    reason: str
    advice: str
    word: str = "NOT DECIDED"

    @property
    def heading(self) -> str:
        """The first line of every text."""
        return f"{self.word}: {self.title}"


CANCELED = Notice(
    "the job was stopped",
    "The job was canceled, or reached its time limit, before every set had a result.",
    "Run it again, or raise `timeout-minutes` of the job.",
)
_KILLED = Notice(
    "the job was stopped",
    "The step ended without a result. The runner may have been out of memory, or was shut down.",
    "Read the log of the job, and run it again.",
)


def explain_code(code: int, reason: str, environ: Mapping[str, str]) -> Notice:
    """Return the notice on a set whose run ended with an exit code and no report."""
    again = "Fix what the message names, and push again."
    title, advice = {
        2: ("the job could not start", again),
        3: ("the job could not start", again),
        4: ("the change needs approval", f"Undo the edit. {describe_road(environ)}".strip()),
        5: ("no case was selected", "Check the set and the input `args` of the action."),
        70: ("evalkit crashed", "Report this bug with the traceback in the log."),
        130: ("the run was interrupted", "Run the job again."),
        143: ("the run was interrupted", "Run the job again."),
    }.get(code, ("the job could not start", "Read the log of the job."))
    return Notice(title, reason or f"evalkit ended with exit code {code}.", advice)


def explain_end(environ: Mapping[str, str]) -> Notice:
    """Return the notice on a job whose sets were not run to their end."""
    outcome = environ.get("EVALKIT_INSTALL_OUTCOME", "")
    if outcome == "failure":
        advice = (
            "Read the log of the step *Install evalkit*, and correct what the workflow installs."
        )
        return Notice("the job could not start", "evalkit could not be installed.", advice)
    if "cancelled" in (outcome, environ.get("EVALKIT_RUN_OUTCOME", "")):
        return CANCELED
    return _KILLED


def format_notice(notice: Notice, sets: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return a notice on some sets as Markdown, for the comment, the step summary, and the check run."""
    sha, url = environ.get("EVALKIT_HEAD", ""), run_url(environ)
    names = ", ".join(f"`{each.replace('`', '')}`" for each in sets)
    # Longer than any run of backticks in the text, so that the text cannot end its block.
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", notice.reason) or [""]))
    commit = f"Commit `{sha[:10]}`" if sha else "This commit"
    blocks = [
        f"## {notice.heading}",
        f"{commit} has no result for {names}."
        if notice.word == "NOT DECIDED"
        else f"{commit}: {names}",
        f"{fence}text\n{notice.reason}\n{fence}",
        f"**What to do:** {notice.advice}",
        f"Log: {url}" if url else "",
    ]
    return "\n\n".join(filter(None, blocks))


def annotate_notice(notice: Notice, environ: Mapping[str, str]) -> str:
    """Return a workflow command that shows the notice, at the line that the reason names first."""
    place = _PLACE.match(notice.reason)
    path = f"{find_folder(environ)}{place['file']}" if place else ""
    where = f"file={escape(path, ':,')},line={place['line']}," if place else ""
    title = escape(notice.heading, ":,")
    return f"::error {where}title={title}::{escape(notice.reason)}"


def redact_reason(text: str, environ: Mapping[str, str]) -> str:
    """Return the end of a text without control characters and without the values of secrets."""
    for name, value in environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    text = "\n".join(text.strip().splitlines()[-_MAX_LINES:])[-_MAX_CHARS:]
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "?", text)
