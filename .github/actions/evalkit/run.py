"""Run eval sets as a step of a workflow, with every report, and write the outputs for later steps.

This script needs only Python and the `evalkit` command. It runs all sets and writes the outputs, whatever
the results. The last step of the action then exits with the worst code.
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
    """Run evalkit and return the exit code; with `output`, write its stdout to that file."""
    sys.stdout.flush()
    if output is None:
        return subprocess.run(["evalkit", *arguments], env=env, check=False).returncode
    with output.open("wb") as stream:
        return subprocess.run(
            ["evalkit", *arguments], env=env, stdout=stream, check=False
        ).returncode


def read_report(path: Path) -> dict[str, Any]:
    """Return the report that a run printed; empty if it printed none."""
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def gate_options(environ: Mapping[str, str]) -> list[str]:
    """Return the options that define the gate, from the inputs, for every command that applies it."""
    base = environ.get("EVALKIT_BASE", "")
    accept = environ.get("EVALKIT_ACCEPT", "") == "true"
    return [*([f"--base={base}"] if base else []), *(["--accept-gate-changes"] if accept else [])]


def filter_gate_options(words: Sequence[str]) -> list[str]:
    """Return the options of a run that define the gate, so that annotations and comment use the same."""
    found: list[str] = []
    for index, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name in ("--allow-missing-baseline", "--accept-gate-changes"):
            found.append(word)
        elif name in ("--baseline", "--base"):
            found += [word] if equals else words[index : index + 2]
    return found


def run_set(evalset: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Run one set, or score answers from another run; return the exit code and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    # The agent and plugins must not see the token, which has write permissions.
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
    """Post the comment on a run; a failure to post does not change the result."""
    when, token = environ.get("EVALKIT_COMMENT", ""), environ.get("EVALKIT_COMMENT_TOKEN", "")
    if when == "never" or not token:
        return
    options = ["--post", *gate, *([] if when == "always" else ["--only-changes"])]
    if environ.get("EVALKIT_ANSWERS"):
        options.append("--status")
    evalkit("comment", run_id, *options, env={**plain, "GITHUB_TOKEN": token})


def write_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """Write outputs for later steps; each value ends at a random delimiter that it cannot contain."""
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
