"""Say in the pull request, the step summary, and an annotation that nothing was decided, and why.

Called as `notice.py start` before anything else and as `notice.py end` if the sets were not run to their
end; `run.py` uses its functions. It needs only Python, so it works where evalkit could not be installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

# With -P, Python does not look in the folder of the script. The end of the list: no module of Python or
# evalkit can be replaced. The checkout gets no further files.
sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parent))

if TYPE_CHECKING:
    from evalkit.ci.templates.action.pull_request import (
        Comment,
        GitHub,
        Pull,
        RequestFailed,
        find_pull,
    )
else:
    from pull_request import GitHub, RequestFailed, find_pull

_STATE = re.compile(r"<!-- evalkit-state:(\w+) commit:([0-9a-f]*) -->")
_PLACE = re.compile(r"(?P<file>[\w./-]+\.\w+):(?P<line>\d+): (?P<text>.+)")
_NAME = re.compile(r"^evalset:\s*['\"]?([^'\"#\n]+?)['\"]?\s*(?:#.*)?$", re.MULTILINE)
_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./-]+")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|COOKIE|DSN", re.IGNORECASE)
_MAX_LINES = 20
_MAX_CHARS = 3000

CANCELED = "The job was canceled, or reached its time limit, before every set had a result."
KILLED = (
    "The step ended without a result. The runner may have been out of memory, or was shut down."
)
UNINSTALLED = "evalkit could not be installed."


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


def say(text: str) -> None:
    """Print a line, in the order of what evalkit prints."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


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


def describe_road(environ: Mapping[str, str]) -> str:
    """Return how a change is accepted in this workflow; empty if it has no label for it."""
    label, role = environ.get("EVALKIT_ACCEPT_LABEL", ""), environ.get("EVALKIT_ACCEPT_ROLE", "")
    if not label:
        return ""
    return (
        f"To accept the change, a person with the role `{role}` applies the label `{label}` after this "
        f"result. It counts for this commit only."
    )


def list_sets(environ: Mapping[str, str]) -> list[str]:
    """Return the sets of this step."""
    return [line.strip() for line in environ.get("EVALKIT_SETS", "").splitlines() if line.strip()]


def comment_key(environ: Mapping[str, str], evalset: str) -> str:
    """Return what identifies the comment on a set: it is known even if the set cannot be read."""
    parts = [environ.get("GITHUB_WORKFLOW", ""), environ.get("GITHUB_JOB", ""), evalset]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def publish(notice: Notice, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Write a notice on some sets to the log, the step summary, and the comment."""
    notice = notice._replace(reason=_redact(notice.reason, environ))
    say(_annotate(notice))
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(f"{_format(notice, sets, environ)}\n")
    comment(notice, sets, environ)


def comment(notice: Notice, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Write a notice on some sets to the comment, and to the status of the commit."""
    notice = notice._replace(reason=_redact(notice.reason, environ))
    try:
        _write_comments(_format(notice, sets, environ), "undecided", sets, environ)
        _set_statuses("error", notice.heading, sets, environ)
    except (RequestFailed, LookupError, TypeError) as error:
        _warn_of_failure(error)


def announce_start(environ: Mapping[str, str]) -> None:
    """Mark the comments and statuses of an earlier run as out of date."""
    try:
        _write_comments("", "running", list_sets(environ), environ)
        _set_statuses("pending", "RUNNING", list_sets(environ), environ)
    except (RequestFailed, LookupError, TypeError) as error:
        _warn_of_failure(error)


def explain_end(environ: Mapping[str, str]) -> Notice:
    """Return the notice on a job whose sets were not run to their end."""
    outcome = environ.get("EVALKIT_INSTALL_OUTCOME", "")
    if outcome == "failure":
        advice = (
            "Read the log of the step *Install evalkit*, and correct what the workflow installs."
        )
        return Notice("the job could not start", UNINSTALLED, advice)
    if "cancelled" in (outcome, environ.get("EVALKIT_RUN_OUTCOME", "")):
        return Notice(
            "the job was stopped", CANCELED, "Run it again, or raise `timeout-minutes` of the job."
        )
    return Notice("the job was stopped", KILLED, "Read the log of the job, and run it again.")


def _write_comments(text: str, state: str, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Replace the comments on these sets; if there is none and there is a text, create one."""
    github = GitHub(environ)
    if environ.get("EVALKIT_COMMENT") == "never" or not sets or not github.is_usable:
        return
    pull = find_pull(environ, github)
    if pull is None:
        say("no comment: the pull request is at another commit by now, or there is none")
        return
    keys = [f"<!-- evalkit:{comment_key(environ, each)} -->" for each in sets]
    comments = github.find_comments(pull.number)
    found = [(key, each) for key in keys for each in comments if each.body.startswith(key)]
    for key, each in found:
        body = text or _running_text(each, pull, _run_url(environ))
        github.write_comment(pull.number, _with_marks(key, state, pull, body), each)
    if text and not found:
        github.write_comment(pull.number, _with_marks(keys[0], state, pull, text), None)


def _with_marks(key: str, state: str, pull: Pull, text: str) -> str:
    return f"{key}\n<!-- evalkit-state:{state} commit:{pull.sha} -->\n{text}"


def _running_text(old: Comment, pull: Pull, url: str) -> str:
    """Return the text of a comment while a commit is being tested, with the heading of the last result."""
    heading = re.search(r"^## (.+)$", old.body, re.MULTILINE)
    state = _STATE.search(old.body)
    lines = [f"## RUNNING: commit `{pull.sha[:10]}` is being tested", url]
    if heading and not (state and state[1] == "running"):
        commit = f"commit `{state[2][:10]}`" if state and state[2] else "an earlier commit"
        lines.append(f"The last result, of {commit}, no longer counts: {heading[1]}")
    return "\n\n".join(filter(None, lines))


def _set_statuses(state: str, text: str, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Set the status of the commit for each set, where this run is not itself a check of it."""
    github, sha = GitHub(environ), environ.get("EVALKIT_HEAD", "")
    if not environ.get("EVALKIT_ANSWERS") or not sha or not github.is_usable:
        return
    for evalset in sets:
        body = {"state": state, "context": f"evalkit/{_read_name(evalset)}", "description": text}
        github.request("POST", f"statuses/{sha}", body)


def _read_name(evalset: str) -> str:
    """Return the name in a set, which may be invalid; else that of its file."""
    try:
        match = _NAME.search(Path(evalset).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        match = None
    return (match[1] if match else Path(evalset).stem)[:60]


def _format(notice: Notice, sets: Sequence[str], environ: Mapping[str, str]) -> str:
    sha, url = environ.get("EVALKIT_HEAD", ""), _run_url(environ)
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


def _annotate(notice: Notice) -> str:
    """Return a workflow command that shows the notice, at the line that the reason names first."""
    place = _PLACE.match(notice.reason)
    where = f"file={_escape(place['file'], ':,')},line={place['line']}," if place else ""
    title = _escape(notice.heading, ":,")
    return f"::error {where}title={title}::{_escape(notice.reason)}"


def _escape(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _redact(text: str, environ: Mapping[str, str]) -> str:
    """Return the end of a text without control characters and without the values of secrets."""
    text = "\n".join(text.strip().splitlines()[-_MAX_LINES:])[-_MAX_CHARS:]
    for name, value in environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "?", text)


def _run_url(environ: Mapping[str, str]) -> str:
    server, name = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    url = f"{server}/{name}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
    return url if server and _URL.fullmatch(url) else ""


def _warn_of_failure(error: Exception) -> None:
    say(
        f"The pull request was not updated: {error}. The job needs: permissions: pull-requests: write"
    )


def main(command: str, environ: Mapping[str, str]) -> None:
    """Run one of the two commands."""
    if command == "start":
        announce_start(environ)
    else:
        publish(explain_end(environ), list_sets(environ), environ)


if __name__ == "__main__":
    main(sys.argv[1], os.environ)
