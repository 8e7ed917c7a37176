"""Run eval sets as a step of a workflow, with every report, and write the outputs for later steps.

This script needs only Python and the `evalkit` command. It runs all sets and writes the outputs, whatever
the results. Where a set has no result, it says so in place of an earlier result. It then exits with the
worst code, or with that of the worst report: a process that an agent left behind could write to the files
of a step and so change what a later step decides.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

# With -P, Python does not look in the folder of the script. The checkout gets no further files.
sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).resolve().parent))

if TYPE_CHECKING:
    from evalkit.ci.templates.action import notice
    from evalkit.ci.templates.action.pull_request import (
        TROUBLE,
        Acceptance,
        GitHub,
        find_acceptance,
        find_pull,
    )
else:
    import notice
    from pull_request import TROUBLE, Acceptance, GitHub, find_acceptance, find_pull

REPORTS = Path(".evalkit/report")
WORST_FIRST = (130, 143, 70, 2, 1, 4, 3, 5, 0)
VERDICTS = ("undecided", "fail", "accepted", "inconclusive", "pass")
GATE_FLAGS = ("--allow-missing-baseline", "--accept-gate-changes", "--require-base")
HIDDEN_VARIABLES = (
    "EVALKIT_COMMENT_TOKEN",
    "GITHUB_ENV",
    "GITHUB_OUTPUT",
    "GITHUB_PATH",
    "GITHUB_STATE",
    "GITHUB_STEP_SUMMARY",
)


def find_workspace(environ: Mapping[str, str]) -> Path:
    """Return the top of the checkout; the current folder may be within it."""
    return Path(environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()


def find_evalkit(environ: Mapping[str, str]) -> list[str]:
    """Return the command line of evalkit, which no file of the checkout can replace.

    A relative folder in PATH, and one in the checkout, does not count, unless Python itself runs from it.
    A script of Python runs with -E and -P: it imports nothing from the checkout, whatever PYTHONPATH says.
    """
    workspace, own = find_workspace(environ), Path(sys.executable).parent
    for entry in environ.get("PATH", "").split(os.pathsep):
        folder = Path(entry)
        is_outside = not (folder / "evalkit").resolve().is_relative_to(workspace)
        if not folder.is_absolute() or not (is_outside or folder == own):
            continue
        if found := shutil.which("evalkit", path=entry):
            first = Path(found).read_bytes().split(b"\n", 1)[0].decode(errors="replace").strip()
            python = first.removeprefix("#!")
            is_python = first != python and Path(python).name.startswith("python")
            return [python, "-EP", found] if is_python else [found]
    raise SystemExit("evalkit is not installed outside of the checkout.")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for evalkit, its agent, and its plugins.

    They must see neither the token, which has write permissions, nor the files by which a step sets its
    outputs and the environment of later steps.
    """
    return {name: text for name, text in environ.items() if name not in HIDDEN_VARIABLES}


class Finished(NamedTuple):
    """How evalkit ended: the exit code, its stdout, and the end of its stderr."""

    code: int
    printed: bytes
    errors: str


def run_evalkit(*arguments: str, env: Mapping[str, str], shown: bool = False) -> Finished:
    """Run evalkit to its end; its stderr, and with `shown` its stdout, are also those of this step.

    The stdout passes through a file without a name. A process that evalkit leaves behind may hold the other
    end of stderr, so nothing waits for it.
    """
    sys.stdout.flush()
    tail: deque[bytes] = deque(maxlen=64)
    with tempfile.TemporaryFile() as stream:
        process = subprocess.Popen(
            [*find_evalkit(env), *arguments],
            env=env,
            stdout=None if shown else stream,
            stderr=subprocess.PIPE,
        )
        copier = threading.Thread(target=copy_stderr, args=(process.stderr, tail), daemon=True)
        copier.start()
        try:
            code = process.wait()
        except BaseException:
            stop(process)
            raise
        copier.join(timeout=2)
        stream.seek(0)
        return Finished(code, stream.read(), b"".join(tail).decode(errors="replace"))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End evalkit, which stores what it has; GitHub ends this step a few seconds after a cancellation."""
    process.terminate()
    try:
        process.wait(timeout=4)
    except subprocess.TimeoutExpired:
        process.kill()


def copy_stderr(source: IO[bytes], tail: deque[bytes]) -> None:
    """Copy a stream to stderr as it comes, and keep its end."""
    while chunk := os.read(source.fileno(), 4096):
        tail.append(chunk)
        os.write(2, chunk)


def parse_report(content: bytes) -> dict[str, Any]:
    """Return the report that a run printed; empty if it printed none."""
    try:
        report = json.loads(content)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def rank(code: int) -> int:
    """Return how bad an exit code is: the lower, the worse; an unknown one is the worst."""
    return WORST_FIRST.index(code) if code in WORST_FIRST else -1


def combine(code: int, report: Mapping[str, Any], accept: Sequence[str] = ()) -> tuple[int, str]:
    """Return the worse of the exit code and the report as an exit code and a verdict.

    Without a report, or with one that did not pass, a run cannot have passed, unless this step accepted it.
    """
    if code == 0 and accept and report.get("exit_code") == 0 and report.get("acceptance"):
        return 0, "accepted"
    outcome, stated = report.get("outcome"), report.get("exit_code", code)
    stated = stated if isinstance(stated, int) else 3
    if stated == 0 and outcome not in ("pass", "inconclusive"):
        stated = 1 if outcome == "fail" else 3
    worst = min((code, stated), key=rank)
    if worst == 0 or (outcome != "pass" and outcome in VERDICTS):
        return worst, str(outcome)
    return worst, "fail" if worst == 1 else "undecided"


def list_runs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entry of each run of several sets; empty for the report of one."""
    runs = document.get("runs")
    return [each for each in runs if isinstance(each, dict)] if isinstance(runs, list) else []


def combine_runs(code: int, document: Mapping[str, Any], accept: Sequence[str]) -> tuple[int, str]:
    """Return the worst of the exit code, the result of all sets, and that of each, as `combine` does."""
    found = [combine(code, document, accept)]
    for each in list_runs(document):
        # Where no case is selected, nothing was run; if that holds for all sets, the exit code is 5.
        if each.get("state") != "nothing_selected":
            stated, report = each.get("exit_code"), each.get("report")
            own = stated if isinstance(stated, int) else 3
            found.append(combine(own, report if isinstance(report, dict) else {}, accept))
    worst = min((found_code for found_code, _ in found), key=rank)
    words = [word for _, word in found]
    return worst, next((word for word in VERDICTS if word in words), "undecided")


def read_run_id(report: object) -> str:
    """Return the id of the run of a report; empty if there is none."""
    run = report.get("run") if isinstance(report, dict) else None
    found = run.get("id") if isinstance(run, dict) else None
    return str(found or "")


def read_means(report: object) -> dict[str, Any]:
    """Return the mean of every metric of a report."""
    metrics = report.get("metrics", []) if isinstance(report, dict) else []
    return {each["metric"]: each["mean"] for each in metrics if not each.get("tag")}


def pick_options(words: Sequence[str], flags: Sequence[str], valued: Sequence[str]) -> list[str]:
    """Return the named options among the words of a command line, with their values."""
    found: list[str] = []
    for index, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name in flags:
            found.append(word)
        elif name in valued:
            found += [word] if equals else words[index : index + 2]
    return found


def find_base(environ: Mapping[str, str]) -> tuple[Finished, list[str]]:
    """Return how evalkit ended, and the option that names the base for every set and command of this step.

    An agent could move a branch, so the base is found before the first one runs.
    """
    words = shlex.split(environ.get("EVALKIT_ARGS", ""))
    named = environ.get("EVALKIT_BASE", "")
    options = [f"--base={named}"] if named else []
    options += pick_options(words, ["--require-base"], ["--base"])
    done = run_evalkit("base", *options, env=child_environment(environ))
    found = done.printed.decode().strip()
    return done, [f"--base={found}"] if found else []


def find_accept_options(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the option that accepts the change, and why a label that is there does not count.

    The facts come from GitHub's API, before any code of the change runs in this step.
    """
    if environ.get("EVALKIT_ACCEPT", "") == "true":
        return ["--accept-gate-changes"], ""
    github = GitHub(environ)
    if not environ.get("EVALKIT_ACCEPT_LABEL") or not github.is_usable:
        return [], ""
    try:
        pull = find_pull(environ, github)
        found = find_acceptance(environ, github, pull) if pull else Acceptance()
    except TROUBLE as error:
        found = Acceptance(problem=f"The label could not be checked: {error}")
    if found.problem:
        notice.say(f"::warning title=not accepted::{found.problem}")
    options = [f"--accepted-by={found.who}@{environ['EVALKIT_HEAD']}"] if found.who else []
    return options, found.problem


def run_sets(
    evalsets: Sequence[str],
    folder: Path,
    base: Sequence[str],
    accept: Sequence[str],
    environ: Mapping[str, str],
) -> tuple[int, dict[str, Any]]:
    """Run sets, or score answers from another run; return the exit code and the document they print."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = child_environment(environ)
    answers = environ.get("EVALKIT_ANSWERS", "")
    command = ["score", answers, f"--set={evalsets[0]}"] if answers else ["run", *evalsets]
    files = [
        f"--junit={folder / 'junit.xml'}",
        f"--html={folder / 'report.html'}",
        f"--csv={folder / 'cases.csv'}",
        f"--ctrf={folder / 'ctrf.json'}",
    ]
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        files.append(f"--markdown={summary}")
    more = shlex.split(environ.get("EVALKIT_ARGS", ""))
    # The last `--base` counts, so that of the arguments cannot replace the commit found first.
    options = ["--format=json", *files, *accept, *more, *base]
    done = run_evalkit(*command, *options, env=plain)
    code = done.code
    (folder / "report.json").unlink(missing_ok=True)
    (folder / "report.json").write_bytes(done.printed)
    document = parse_report(done.printed)
    reports = [each.get("report") for each in list_runs(document)] or [document]
    run_ids = [run_id for report in reports if (run_id := read_run_id(report))]
    if run_ids:
        # Annotations and comment use the same gate.
        gate = [*accept, *pick_options(more, GATE_FLAGS, ["--baseline"]), *base]
        annotate(run_ids, gate, environ)
        missing = [
            f"--missing={json.dumps(each.get('label'))}: {each.get('reason')}"
            for each in list_runs(document)
            if not each.get("report") and each.get("state") != "nothing_selected"
        ]
        posted = post_run_comment(evalsets, run_ids, [*missing, *gate], environ)
        if posted is not None and posted.code:
            unseen = notice.Notice(
                "the result is in the log", posted.errors, "Read the log.", "NOT SHOWN"
            )
            notice.comment(unseen, evalsets, environ)
    else:
        notice.publish(notice.explain_code(code, done.errors, environ), evalsets, environ)
    return code, document


def annotate(run_ids: Sequence[str], gate: Sequence[str], environ: Mapping[str, str]) -> None:
    """Print the annotations of runs."""
    plain = child_environment(environ)
    printed = run_evalkit("gate", *run_ids, "--format=github", *gate, env=plain).printed
    sys.stdout.write(printed.decode(errors="replace"))
    sys.stdout.flush()


def post_run_comment(
    evalsets: Sequence[str], run_ids: Sequence[str], gate: Sequence[str], environ: Mapping[str, str]
) -> Finished | None:
    """Post the comment on all runs and return how evalkit ended; a failure does not change the result."""
    when, token = environ.get("EVALKIT_COMMENT", ""), environ.get("EVALKIT_COMMENT_TOKEN", "")
    if when == "never" or not token:
        return None
    options = ["--post", *([] if when == "always" else ["--only-changes"])]
    options.append(f"--key={notice.comment_key(environ, evalsets)}")
    if road := notice.describe_road(environ):
        options.append(f"--how-to-accept={road}")
    if environ.get("EVALKIT_ANSWERS"):
        options.append("--status")
    if environ.get("EVALKIT_CHECK") == "true":
        options += ["--check", f"--check-name={notice.name_check(evalsets, environ)}"]
    plain = {**child_environment(environ), "GITHUB_TOKEN": token}
    return run_evalkit("comment", *run_ids, *options, *gate, env=plain, shown=True)


def remove(folder: Path) -> None:
    """Remove the reports of an earlier run, or a link in their place."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def write_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """Write outputs for later steps; each value ends at a random delimiter that it cannot contain."""
    with path.open("a", encoding="utf-8") as stream:
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(16)}"
            stream.write(f"{name}<<{end}\n{value}\n{end}\n")


def main(environ: Mapping[str, str]) -> int:
    """Run every set, write the outputs, and return the worst exit code."""
    sets = notice.list_sets(environ)
    remove(REPORTS)
    if reason := environ.get("EVALKIT_BLOCKED", ""):
        stopped = notice.Notice("the job could not start", reason, "Read the log of the job.")
        verdicts: list[str] = []
        metrics: dict[str, Any] = {}
        code = 3
        notice.publish(stopped, sets, environ)
    else:
        code, verdicts, metrics = run_jobs(sets, environ)
    finish(code, verdicts, metrics, environ)
    return code


def finish(
    code: int, verdicts: Sequence[str], metrics: Mapping[str, Any], environ: Mapping[str, str]
) -> None:
    """Write the outputs. The last step of the action takes an exit code as a sign that this one ended."""
    outputs = {
        "verdict": next((word for word in VERDICTS if word in verdicts), "undecided"),
        "exit-code": str(code),
        "report": os.path.relpath(REPORTS.resolve(), find_workspace(environ)),
        "metrics": json.dumps(metrics),
    }
    write_outputs(Path(environ["GITHUB_OUTPUT"]), outputs)


def run_jobs(
    sets: Sequence[str], environ: Mapping[str, str]
) -> tuple[int, list[str], dict[str, Any]]:
    """Run every set, and return the worst exit code, the verdicts, and the means by set."""
    codes: list[int] = []
    verdicts: list[str] = []
    metrics: dict[str, Any] = {}
    found, base = find_base(environ) if sets else (Finished(2, b"", "No set is named."), [])
    if found.code:
        notice.publish(notice.explain_code(found.code, found.errors, environ), sets, environ)
        return found.code, [], {}
    accept, problem = find_accept_options(environ)
    environ = {**environ, notice.PROBLEM_VARIABLE: problem}
    for number, job in enumerate(notice.list_jobs(environ), start=1):
        name = Path(job[0]).stem if len(job) == 1 else "all"
        code, document = run_sets(job, REPORTS / f"{number}-{name}", base, accept, environ)
        code, verdict = combine_runs(code, document, accept)
        codes.append(code)
        verdicts.append(verdict)
        for each in list_runs(document) or [{"path": job[0], "report": document}]:
            metrics[str(each.get("path"))] = read_means(each.get("report"))
    return min(codes, key=rank), verdicts, metrics


def run_or_explain(environ: Mapping[str, str]) -> int:
    """Run every set; if this script itself fails or is stopped, say so in place of an earlier result."""
    try:
        return main(environ)
    except KeyboardInterrupt:
        code, found = 130, notice.Notice("the job was stopped", notice.CANCELED, notice.RUN_AGAIN)
    except (Exception, SystemExit) as error:
        code = 2 if isinstance(error, SystemExit) else 70
        if code == 70:
            traceback.print_exc()
        found = notice.explain_code(code, str(error), environ)
    notice.publish(found, notice.list_sets(environ), environ, keeps_decided=True)
    finish(code, [], {}, environ)
    return code


if __name__ == "__main__":
    # A termination ends evalkit as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run_or_explain(os.environ))
