"""Runs eval sets as a step of a workflow, with every report, and tells later steps what came of it.

It needs nothing but Python and the `evalkit` command. Whatever a set comes to, all of them are run and
the outputs are written; the last step of the action then exits with the worst code.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPORTS = Path(".evalkit/report")
WORST_FIRST = (130, 143, 70, 2, 1, 4, 3, 5, 0)
VERDICTS = ("undecided", "fail", "inconclusive", "pass")


def evalkit(*arguments: str, env: Mapping[str, str], output: Path | None = None) -> int:
    """Run evalkit, its stdout into a file if one is given; returns the exit code."""
    sys.stdout.flush()
    if output is None:
        return subprocess.run(["evalkit", *arguments], env=env, check=False).returncode
    with output.open("wb") as stream:
        return subprocess.run(
            ["evalkit", *arguments], env=env, stdout=stream, check=False
        ).returncode


def read_report(path: Path) -> dict[str, Any]:
    """The report a run printed; empty when it could not be run."""
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def gate_options(environ: Mapping[str, str]) -> list[str]:
    """What decides, from the inputs: for every command that decides."""
    base = environ.get("EVALKIT_BASE", "")
    accept = environ.get("EVALKIT_ACCEPT", "") == "true"
    return [*([f"--base={base}"] if base else []), *(["--accept-gate-changes"] if accept else [])]


def filter_gate_options(words: Sequence[str]) -> list[str]:
    """Of the options of a run those that decide, so that annotations and comment say what the run says."""
    found: list[str] = []
    for index, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name in ("--allow-missing-baseline", "--accept-gate-changes"):
            found.append(word)
        elif name in ("--baseline", "--base"):
            found += [word] if equals else words[index : index + 2]
    return found


def run_set(evalset: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Run one set, or decide on answers made elsewhere; returns the exit code and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    # Neither the agent nor a plugin gets the token that may write.
    plain = {name: text for name, text in environ.items() if name != "EVALKIT_COMMENT_TOKEN"}
    gate = gate_options(environ)
    answers = environ.get("EVALKIT_ANSWERS", "")
    command = ["score", answers, f"--set={evalset}"] if answers else ["run", evalset]
    files = [
        f"--junit={folder / 'junit.xml'}",
        f"--html={folder / 'report.html'}",
        f"--csv={folder / 'cases.csv'}",
        f"--ctrf={folder / 'ctrf.json'}",
    ]
    if summary := environ.get("GITHUB_STEP_SUMMARY"):
        files.append(f"--markdown={summary}")
    more = shlex.split(environ.get("EVALKIT_ARGS", ""))
    written = folder / "report.json"
    options = ["--format=json", *files, *gate, *more]
    code = evalkit(*command, *options, env=plain, output=written)
    report = read_report(written)
    run_id = report.get("run", {}).get("id")
    if run_id:
        gate += filter_gate_options(more)
        evalkit("gate", run_id, "--format=github", *gate, env=plain)
        post_run_comment(run_id, gate, environ, plain)
    return code, report


def post_run_comment(
    run_id: str, gate: Sequence[str], environ: Mapping[str, str], plain: Mapping[str, str]
) -> None:
    """Post the comment on a run; whatever becomes of it, the verdict stands."""
    when, token = environ.get("EVALKIT_COMMENT", ""), environ.get("EVALKIT_COMMENT_TOKEN", "")
    if when == "never" or not token:
        return
    options = ["--post", *gate, *([] if when == "always" else ["--only-changes"])]
    if environ.get("EVALKIT_ANSWERS"):
        options.append("--status")
    evalkit("comment", run_id, *options, env={**plain, "GITHUB_TOKEN": token})


def write_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """Tell later steps; a value ends at a line that nothing in it can foresee."""
    with path.open("a", encoding="utf-8") as stream:
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(16)}"
            stream.write(f"{name}<<{end}\n{value}\n{end}\n")


def main(environ: Mapping[str, str]) -> None:
    """Run every set and write the outputs."""
    codes, verdicts, metrics = [], [], {}
    sets = [line.strip() for line in environ.get("EVALKIT_SETS", "").splitlines() if line.strip()]
    for number, evalset in enumerate(sets, start=1):
        folder = REPORTS / f"{number}-{Path(evalset).stem}"
        code, report = run_set(evalset, folder, environ)
        codes.append(code)
        verdicts.append(report.get("outcome", "undecided"))
        metrics[evalset] = {
            each["metric"]: each["mean"]
            for each in report.get("metrics", [])
            if not each.get("tag")
        }
    unknown = [code for code in codes if code not in WORST_FIRST]
    worst = unknown or [code for code in WORST_FIRST if code in codes] or [2]
    verdict = next((word for word in VERDICTS if word in verdicts), "undecided")
    outputs = {
        "verdict": verdict,
        "exit-code": str(worst[0]),
        "report": str(REPORTS),
        "metrics": json.dumps(metrics),
    }
    write_outputs(Path(environ["GITHUB_OUTPUT"]), outputs)


if __name__ == "__main__":
    main(os.environ)
