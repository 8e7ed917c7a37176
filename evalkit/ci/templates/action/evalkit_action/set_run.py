"""Run the sets of a job with every report, and show the result where GitHub has places for it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .job import comment_key, describe_road, name_check
from .notice import Notice, explain_code
from .process import Finished, child_environment, run_evalkit
from .publication import post_notice, publish
from .verdict import list_runs, parse_report, read_run_id

GATE_FLAGS = ("--allow-missing-baseline", "--accept-gate-changes", "--require-base")


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


def find_base_option(environ: Mapping[str, str]) -> tuple[Finished, list[str]]:
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


def run_job(
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
            unseen = Notice("the result is in the log", posted.errors, "Read the log.", "NOT SHOWN")
            post_notice(unseen, evalsets, environ)
    else:
        publish(explain_code(code, done.errors, environ), evalsets, environ)
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
    options.append(f"--key={comment_key(environ, evalsets)}")
    if road := describe_road(environ):
        options.append(f"--how-to-accept={road}")
    if environ.get("EVALKIT_ANSWERS"):
        options.append("--status")
    if environ.get("EVALKIT_CHECK") == "true":
        options += ["--check", f"--check-name={name_check(evalsets, environ)}"]
    plain = {**child_environment(environ), "GITHUB_TOKEN": token}
    return run_evalkit("comment", *run_ids, *options, *gate, env=plain, shown=True)
