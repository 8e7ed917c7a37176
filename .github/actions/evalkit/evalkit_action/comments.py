"""The comments of this action on a pull request: their marks, and the texts of those without a result."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .job import comment_key, list_jobs, read_sets, run_url
from .pull_request import Comment, GitHub, Pull, find_pull
from .workflow_commands import print_line

_STATE = re.compile(r"<!-- evalkit-state:(\w+) commit:([0-9a-f]*) -->")
_OURS = re.compile(r"<!-- evalkit:[0-9a-f]{8,64} -->\n")


class Discussion(NamedTuple):
    """A pull request with its comments."""

    pull: Pull
    comments: Sequence[Comment]


def read_comments(environ: Mapping[str, str]) -> Discussion | None:
    """Return the pull request and its comments; None if this job may not write there."""
    github = GitHub(environ)
    if environ.get("EVALKIT_COMMENT") == "never" or not github.is_usable:
        return None
    pull = find_pull(environ, github)
    if pull is None:
        print_line("no comment: the pull request is at another commit by now, or there is none")
        return None
    return Discussion(pull, github.find_comments(pull.number))


def _find_marks(sets: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the first line of each comment on any of these sets."""
    jobs = [job for job in list_jobs(environ) if not set(job).isdisjoint(sets)]
    return [f"<!-- evalkit:{comment_key(environ, job)} -->" for job in jobs]


def is_decided(evalset: str, found: Discussion, environ: Mapping[str, str]) -> bool:
    """Return whether there is a result of this commit; when a job starts, it removes older ones."""
    marks = tuple(_find_marks([evalset], environ))
    states = [_STATE.search(each.body) for each in found.comments if each.body.startswith(marks)]
    return any(state and state.groups() == ("decided", found.pull.sha) for state in states)


def write_comments(
    text: str, state: str, sets: Sequence[str], found: Discussion, environ: Mapping[str, str]
) -> None:
    """Replace the comments on these sets; if there is none and there is a text, create one."""
    github, pull = GitHub(environ), found.pull
    marks = _find_marks(sets, environ)
    ours = [(mark, each) for mark in marks for each in found.comments if each.body.startswith(mark)]
    for mark, each in ours:
        title = f"RUNNING: commit `{pull.sha[:10]}` is being tested"
        body = text or _outdated_text(title, each, run_url(environ))
        github.write_comment(pull.number, _with_marks(mark, state, pull, body), each)
    if text and marks and not ours:
        github.write_comment(pull.number, _with_marks(marks[0], state, pull, text), None)


def mark_others(found: Discussion, environ: Mapping[str, str]) -> None:
    """Replace the results of other jobs on earlier commits."""
    own = tuple(_find_marks(read_sets(environ), environ))
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
