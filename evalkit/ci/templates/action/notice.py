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
        TROUBLE,
        Comment,
        GitHub,
        Pull,
        find_pull,
    )
else:
    from pull_request import TROUBLE, GitHub, find_pull

_STATE = re.compile(r"<!-- evalkit-state:(\w+) commit:([0-9a-f]*) -->")
_OURS = re.compile(r"<!-- evalkit:[0-9a-f]{8,64} -->\n")
_PLACE = re.compile(r"(?P<file>[\w./-]+\.\w+):(?P<line>\d+): (?P<text>.+)")
_NAME = re.compile(r"^evalset:\s*['\"]?([^'\"#\n]+?)['\"]?\s*(?:#.*)?$", re.MULTILINE)
_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./-]+")
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|COOKIE|DSN", re.IGNORECASE)
_MAX_LINES = 20
_MAX_CHARS = 3000

PROBLEM_VARIABLE = "EVALKIT_ACCEPT_PROBLEM"
"""Why a label that is there does not count; `run.py` sets it for itself."""

CANCELED = "The job was canceled, or reached its time limit, before every set had a result."
RUN_AGAIN = "Run it again, or raise `timeout-minutes` of the job."
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


class Discussion(NamedTuple):
    """A pull request with its comments."""

    pull: Pull
    comments: Sequence[Comment]


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
    problem = environ.get(PROBLEM_VARIABLE, "")
    return (
        f'To accept the change, a person with the role "{role}" applies the label "{label}" after this '
        f"result. It counts for this commit only.{problem and ' Not accepted yet: '}{problem}"
    )


def list_sets(environ: Mapping[str, str]) -> list[str]:
    """Return the sets of this step."""
    return [line.strip() for line in environ.get("EVALKIT_SETS", "").splitlines() if line.strip()]


def list_jobs(environ: Mapping[str, str]) -> list[list[str]]:
    """Return the sets that share a command and a comment: all of them, but answers are of one set each."""
    sets = list_sets(environ)
    return [[each] for each in sets] if environ.get("EVALKIT_ANSWERS") or not sets else [sets]


def find_folder(environ: Mapping[str, str]) -> str:
    """Return the folder that the paths of the sets start from, with a slash; empty for the checkout."""
    folder = os.path.normpath(environ.get("EVALKIT_FOLDER") or ".")
    return "" if folder == "." else f"{folder}/"


def comment_key(environ: Mapping[str, str], sets: Sequence[str]) -> str:
    """Return what identifies the comment on some sets: it is known even if no set can be read."""
    job = [environ.get("GITHUB_WORKFLOW", ""), environ.get("GITHUB_JOB", "")]
    parts = [*job, *(f"{find_folder(environ)}{each}" for each in sets)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def name_check(sets: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the name of the check run on some sets; of two with one name, GitHub counts the later one."""
    job = [environ.get("GITHUB_WORKFLOW", ""), environ.get("GITHUB_JOB", "")]
    named = ", ".join(f"{find_folder(environ)}{each}" for each in sets)
    return f"{' / '.join(filter(None, job)) or 'evalkit'}: {named}"[:200]


def publish(
    notice: Notice, sets: Sequence[str], environ: Mapping[str, str], *, keeps_decided: bool = False
) -> None:
    """Write a notice on some sets to the log, the step summary, and the comment.

    With `keeps_decided`, a comment that this job has written on its result stays as it is.
    """
    notice = notice._replace(reason=_redact(notice.reason, environ))
    say(_annotate(notice, environ))
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(f"{_format(notice, sets, environ)}\n")
    comment(notice, sets, environ, keeps_decided=keeps_decided)


def comment(
    notice: Notice, sets: Sequence[str], environ: Mapping[str, str], *, keeps_decided: bool = False
) -> None:
    """Write a notice on some sets to the comment, and to the status of the commit."""
    notice = notice._replace(reason=_redact(notice.reason, environ))
    try:
        found = _read_comments(environ)
        if found and keeps_decided:
            sets = [each for each in sets if not _is_decided(each, found, environ)]
        if found:
            text = _format(notice, sets, environ)
            _write_comments(text, "undecided", sets, found, environ)
        _set_statuses("error", notice.heading, sets, environ)
        _set_checks(notice, sets, environ)
    except TROUBLE as error:
        _warn_of_failure(error)


def announce_start(environ: Mapping[str, str]) -> None:
    """Mark the comments, statuses, and check runs of earlier commits as out of date.

    A comment of another job counts as well: the job may not run any more, or under another name.
    """
    try:
        if found := _read_comments(environ):
            _write_comments("", "running", list_sets(environ), found, environ)
        _set_statuses("pending", "RUNNING", list_sets(environ), environ)
        _set_checks(None, list_sets(environ), environ)
        if found:
            _mark_others(found, environ)
    except TROUBLE as error:
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
        return Notice("the job was stopped", CANCELED, RUN_AGAIN)
    return Notice("the job was stopped", KILLED, "Read the log of the job, and run it again.")


def _read_comments(environ: Mapping[str, str]) -> Discussion | None:
    """Return the pull request and its comments; None if this job may not write there."""
    github = GitHub(environ)
    if environ.get("EVALKIT_COMMENT") == "never" or not github.is_usable:
        return None
    pull = find_pull(environ, github)
    if pull is None:
        say("no comment: the pull request is at another commit by now, or there is none")
        return None
    return Discussion(pull, github.find_comments(pull.number))


def _find_marks(sets: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the first line of each comment on any of these sets."""
    jobs = [job for job in list_jobs(environ) if not set(job).isdisjoint(sets)]
    return [f"<!-- evalkit:{comment_key(environ, job)} -->" for job in jobs]


def _is_decided(evalset: str, found: Discussion, environ: Mapping[str, str]) -> bool:
    """Return whether there is a result of this commit; when a job starts, it removes older ones."""
    marks = tuple(_find_marks([evalset], environ))
    states = [_STATE.search(each.body) for each in found.comments if each.body.startswith(marks)]
    return any(state and state.groups() == ("decided", found.pull.sha) for state in states)


def _write_comments(
    text: str, state: str, sets: Sequence[str], found: Discussion, environ: Mapping[str, str]
) -> None:
    """Replace the comments on these sets; if there is none and there is a text, create one."""
    github, pull = GitHub(environ), found.pull
    marks = _find_marks(sets, environ)
    ours = [(mark, each) for mark in marks for each in found.comments if each.body.startswith(mark)]
    for mark, each in ours:
        title = f"RUNNING: commit `{pull.sha[:10]}` is being tested"
        body = text or _outdated_text(title, each, _run_url(environ))
        github.write_comment(pull.number, _with_marks(mark, state, pull, body), each)
    if text and marks and not ours:
        github.write_comment(pull.number, _with_marks(marks[0], state, pull, text), None)


def _mark_others(found: Discussion, environ: Mapping[str, str]) -> None:
    """Replace the results of other jobs on earlier commits."""
    own = tuple(_find_marks(list_sets(environ), environ))
    for each in found.comments:
        mark, state = _OURS.match(each.body), _STATE.search(each.body)
        if (
            mark
            and state
            and state[2] not in ("", found.pull.sha)
            and not each.body.startswith(own)
        ):
            title = f"OUT OF DATE: commit `{found.pull.sha[:10]}` has no result here"
            text = _outdated_text(title, each, "")
            body = _with_marks(mark[0].strip(), "outdated", found.pull, text)
            GitHub(environ).write_comment(found.pull.number, body, each)


def _with_marks(key: str, state: str, pull: Pull, text: str) -> str:
    return f"{key}\n<!-- evalkit-state:{state} commit:{pull.sha} -->\n{text}"


def _outdated_text(title: str, old: Comment, url: str) -> str:
    """Return the text of a comment without a result of this commit, with the heading of the last result."""
    heading = re.search(r"^## (.+)$", old.body, re.MULTILINE)
    state = _STATE.search(old.body)
    lines = [f"## {title}", url]
    if heading and not (state and state[1] in ("running", "outdated")):
        commit = f"commit `{state[2][:10]}`" if state and state[2] else "an earlier commit"
        lines.append(f"The last result, of {commit}, no longer counts: {heading[1]}")
    return "\n\n".join(filter(None, lines))


def _set_statuses(state: str, text: str, sets: Sequence[str], environ: Mapping[str, str]) -> None:
    """Set the status of the commit for each set, where this run is not itself a check of it."""
    github, sha = GitHub(environ), environ.get("EVALKIT_HEAD", "")
    if not environ.get("EVALKIT_ANSWERS") or not sha or not github.is_usable:
        return
    for evalset in sets:
        body = {
            "state": state,
            "context": f"evalkit/{_read_name(evalset, environ)}",
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
            output = {"title": notice.heading, "summary": _format(notice, job, environ)}
            body |= {"status": "completed", "conclusion": "failure", "output": output}
        github.request("POST", "check-runs", body)


def _read_name(evalset: str, environ: Mapping[str, str]) -> str:
    """Return the name in a set, which may be invalid; else that of its file."""
    try:
        # A step that ran in the folder is there already.
        folder = Path(environ.get("GITHUB_WORKSPACE") or ".") / find_folder(environ)
        match = _NAME.search((folder / evalset).read_text(encoding="utf-8"))
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


def _annotate(notice: Notice, environ: Mapping[str, str]) -> str:
    """Return a workflow command that shows the notice, at the line that the reason names first."""
    place = _PLACE.match(notice.reason)
    path = f"{find_folder(environ)}{place['file']}" if place else ""
    where = f"file={escape(path, ':,')},line={place['line']}," if place else ""
    title = escape(notice.heading, ":,")
    return f"::error {where}title={title}::{escape(notice.reason)}"


def escape(text: str, more: str = "") -> str:
    """Return a text as the message of a workflow command, or with `more` as a property of one."""
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
        f"The pull request was not updated: {error}. The job needs: permissions: pull-requests: write, "
        "and checks: write for a check run"
    )


def main(command: str, environ: Mapping[str, str]) -> None:
    """Run one of the two commands."""
    if command == "start":
        announce_start(environ)
    else:
        publish(explain_end(environ), list_sets(environ), environ, keeps_decided=True)


if __name__ == "__main__":
    main(sys.argv[1], os.environ)
