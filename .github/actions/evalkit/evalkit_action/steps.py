"""The steps of the action: `start`, `install`, `run`, and `end` if `run` did not end by itself.

`run` runs all sets and writes the outputs, whatever the results. Where a set has no result, it says so in
place of an earlier result. It then returns the worst exit code, or that of the worst report: a process that
an agent left behind could write to the files of a step and so change what a later step decides.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from .acceptance import find_accept_options
from .install import install_evalkit
from .job import PROBLEM_VARIABLE, find_workspace, list_jobs, read_sets
from .notice import CANCELED, Notice, explain_code, explain_end
from .process import Finished
from .publication import announce_start, publish
from .set_run import find_base_option, run_job
from .verdict import VERDICTS, combine_runs, list_runs, rank, read_means
from .workflow_commands import write_outputs

REPORTS = Path(".evalkit/report")


class StepResult(NamedTuple):
    """The exit code of a step, the verdicts of its jobs, and the mean of every metric by set."""

    code: int
    verdicts: Sequence[str] = ()
    metrics: Mapping[str, Any] = MappingProxyType({})


def main(name: str, environ: Mapping[str, str]) -> int:
    """Run one of the steps, and return its exit code."""
    if name == "run":
        # A termination ends evalkit as an interrupt does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return run_or_explain(environ)
    if name == "install":
        return install_evalkit(environ)
    if name == "start":
        announce_start(environ)
    else:
        publish(explain_end(environ), read_sets(environ), environ, keeps_decided=True)
    return 0


def run_step(environ: Mapping[str, str]) -> int:
    """Run every set, write the outputs, and return the worst exit code."""
    sets = read_sets(environ)
    remove(REPORTS)
    if reason := environ.get("EVALKIT_BLOCKED", ""):
        stopped = Notice("the job could not start", reason, "Read the log of the job.")
        publish(stopped, sets, environ)
        return finish(StepResult(3), environ)
    return finish(run_jobs(sets, environ), environ)


def run_or_explain(environ: Mapping[str, str]) -> int:
    """Run every set; if this script itself fails or is stopped, say so in place of an earlier result."""
    try:
        return run_step(environ)
    except KeyboardInterrupt:
        code, found = 130, CANCELED
    except (Exception, SystemExit) as error:
        code = 2 if isinstance(error, SystemExit) else 70
        if code == 70:
            traceback.print_exc()
        found = explain_code(code, str(error), environ)
    publish(found, read_sets(environ), environ, keeps_decided=True)
    return finish(StepResult(code), environ)


def run_jobs(sets: Sequence[str], environ: Mapping[str, str]) -> StepResult:
    """Run every set, and return the worst exit code with the verdicts and the means."""
    codes: list[int] = []
    verdicts: list[str] = []
    metrics: dict[str, Any] = {}
    found, base = find_base_option(environ) if sets else (Finished(2, b"", "No set is named."), [])
    if found.code:
        publish(explain_code(found.code, found.errors, environ), sets, environ)
        return StepResult(found.code)
    accept, problem = find_accept_options(environ)
    environ = {**environ, PROBLEM_VARIABLE: problem}
    for number, job in enumerate(list_jobs(environ), start=1):
        name = Path(job[0]).stem if len(job) == 1 else "all"
        code, document = run_job(job, REPORTS / f"{number}-{name}", base, accept, environ)
        code, verdict = combine_runs(code, document, accept)
        codes.append(code)
        verdicts.append(verdict)
        for each in list_runs(document) or [{"path": job[0], "report": document}]:
            metrics[str(each.get("path"))] = read_means(each.get("report"))
    return StepResult(min(codes, key=rank), verdicts, metrics)


def finish(result: StepResult, environ: Mapping[str, str]) -> int:
    """Write the outputs, and return the exit code.

    The last step of the action takes an exit code in the outputs as a sign that this one ended.
    """
    outputs = {
        "verdict": next((word for word in VERDICTS if word in result.verdicts), "undecided"),
        "exit-code": str(result.code),
        "report": os.path.relpath(REPORTS.resolve(), find_workspace(environ)),
        "metrics": json.dumps(dict(result.metrics)),
    }
    write_outputs(Path(environ["GITHUB_OUTPUT"]), outputs)
    return result.code


def remove(folder: Path) -> None:
    """Remove the reports of an earlier run, or a link in their place."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
