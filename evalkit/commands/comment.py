"""`evalkit comment`: a stored run, decided again, as the comment of a pull request."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from evalkit.basing import GateChoice
from evalkit.commands.gate import gate
from evalkit.errors import ApprovalNeeded
from evalkit.hints import Place
from evalkit.project import find_root
from evalkit.redaction import Redactor
from evalkit.refs import BaselineChoice
from evalkit.reports.comment import Comment, write_comment
from evalkit.reports.report import Hint, Report
from evalkit.reports.standing import case_results, worst_first
from evalkit.world import World

_DETAILS = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9_./-]+")


def decide_again(ref: str, against: BaselineChoice, choice: GateChoice, world: World) -> Report:
    """A stored run, decided as `evalkit gate` decides it, with what a reviewer may do next.

    Raises:
        EvalkitError: what `gate` raises.
    """
    report = gate(ref, against, choice, world)
    place = Place(root=find_root(world.cwd, world.cwd), cwd=world.cwd)
    return replace(report, hints=tuple(_suggest(report, place)))


def render(report: Report, world: World) -> Comment:
    """The comment on a decided run, without secrets of this environment."""
    comment = write_comment(report, details=details_url(world.environ))
    return comment._replace(text=Redactor(world.environ).clean_text(comment.text))


def _suggest(report: Report, place: Place) -> Iterator[Hint]:
    """The commands for somebody who has a checkout, and the artifact of the run if they like."""
    run = report.run
    broken = worst_first(case_results(report))
    if broken:
        case_id = broken[0].case.id
        yield Hint(
            label="look closer (with the run from the artifact)", command=place.show(run, case_id)
        )
        again = f"evalkit run {place.name_set(run)} --case {shlex.quote(case_id)}"
        yield Hint(label="run it locally", command=again)
    if report.verdict.exit_code == ApprovalNeeded.exit_code and run.header.base_commit:
        yield Hint(label="if the edits of the gate are meant", command=place.accept(run))
    elif report.verdict.outcome == "fail" or broken:
        label = "accept, if it is meant: record the baseline and commit it"
        yield Hint(label=label, command=place.record(run))


def details_url(environ: Mapping[str, str]) -> str:
    """The page of this workflow run; empty where there is none."""
    server, repository = environ.get("GITHUB_SERVER_URL"), environ.get("GITHUB_REPOSITORY")
    url = f"{server}/{repository}/actions/runs/{environ.get('GITHUB_RUN_ID')}"
    return url if server and repository and _DETAILS.fullmatch(url) else ""
