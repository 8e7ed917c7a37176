"""Run eval sets as a step of a workflow, with every report, and write the outputs for later steps.

This script needs only Python and the `evalkit` command. It runs all sets and writes the outputs, whatever
the results. It then exits with the worst code, or with that of the worst report: a process that an agent
left behind could write to the files of a step and so change what a later step decides.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPORTS = Path(".evalkit/report")
WORST_FIRST = (130, 143, 70, 2, 1, 4, 3, 5, 0)
VERDICTS = ("undecided", "fail", "inconclusive", "pass")
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


def evalkit(*arguments: str, env: Mapping[str, str]) -> int:
    """Run evalkit and return the exit code."""
    sys.stdout.flush()
    return subprocess.run([*find_evalkit(env), *arguments], env=env, check=False).returncode


def read_evalkit(*arguments: str, env: Mapping[str, str]) -> tuple[int, bytes]:
    """Run evalkit and return the exit code and its stdout, which passes through a file without a name."""
    sys.stdout.flush()
    with tempfile.TemporaryFile() as stream:
        command = [*find_evalkit(env), *arguments]
        code = subprocess.run(command, env=env, stdout=stream, check=False).returncode
        stream.seek(0)
        return code, stream.read()


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


def combine(code: int, report: Mapping[str, Any]) -> tuple[int, str]:
    """Return the worse of the exit code and the report as an exit code and a verdict.

    Without a report, or with one that did not pass, a run cannot have passed.
    """
    outcome, stated = report.get("outcome"), report.get("exit_code", code)
    stated = stated if isinstance(stated, int) else 3
    if stated == 0 and outcome not in ("pass", "inconclusive"):
        stated = 1 if outcome == "fail" else 3
    worst = min((code, stated), key=rank)
    if worst == 0 or (outcome != "pass" and outcome in VERDICTS):
        return worst, str(outcome)
    return worst, "fail" if worst == 1 else "undecided"


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


def find_base(environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """Return an exit code, and the option that names the base for every set and command of this step.

    An agent could move a branch, so the base is found before the first one runs.
    """
    words = shlex.split(environ.get("EVALKIT_ARGS", ""))
    named = environ.get("EVALKIT_BASE", "")
    options = [f"--base={named}"] if named else []
    options += pick_options(words, ["--require-base"], ["--base"])
    code, commit = read_evalkit("base", *options, env=child_environment(environ))
    found = commit.decode().strip()
    return code, [f"--base={found}"] if found else []


def run_set(
    evalset: str, folder: Path, base: Sequence[str], environ: Mapping[str, str]
) -> tuple[int, dict[str, Any]]:
    """Run one set, or score answers from another run; return the exit code and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = child_environment(environ)
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
    accept = ["--accept-gate-changes"] if environ.get("EVALKIT_ACCEPT", "") == "true" else []
    # The last `--base` counts, so that of the arguments cannot replace the commit found first.
    options = ["--format=json", *files, *accept, *more, *base]
    code, printed = read_evalkit(*command, *options, env=plain)
    (folder / "report.json").unlink(missing_ok=True)
    (folder / "report.json").write_bytes(printed)
    report = parse_report(printed)
    run = report.get("run")
    run_id = run.get("id") if isinstance(run, dict) else None
    if run_id:
        # Annotations and comment use the same gate.
        gate = [*accept, *pick_options(more, GATE_FLAGS, ["--baseline"]), *base]
        annotate(run_id, gate, environ)
        post_run_comment(run_id, gate, environ, plain)
    return code, report


def annotate(run_id: str, gate: Sequence[str], environ: Mapping[str, str]) -> None:
    """Print the annotations of a run, with the paths of its files from the top of the checkout."""
    plain = child_environment(environ)
    _, printed = read_evalkit("gate", run_id, "--format=github", *gate, env=plain)
    below = os.path.relpath(Path.cwd().resolve(), find_workspace(environ))
    start = "" if below == "." else escape_property(f"{below}/")
    text = printed.decode(errors="replace")
    sys.stdout.write(re.sub(r"(?m)^(::\w+ file=)", lambda found: found[1] + start, text))
    sys.stdout.flush()


def escape_property(text: str) -> str:
    """Return a text as a property of a workflow command. Source: the runner's own `escapeProperty`."""
    for plain, escaped in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        text = text.replace(plain, escaped)
    return text


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
    codes, verdicts, metrics = [], [], {}
    sets = [line.strip() for line in environ.get("EVALKIT_SETS", "").splitlines() if line.strip()]
    remove(REPORTS)
    code, base = find_base(environ) if sets else (2, [])
    if code:
        codes, sets = [code], []
    for number, evalset in enumerate(sets, start=1):
        folder = REPORTS / f"{number}-{Path(evalset).stem}"
        code, verdict = combine(*(found := run_set(evalset, folder, base, environ)))
        codes.append(code)
        verdicts.append(verdict)
        metrics[evalset] = {
            each["metric"]: each["mean"]
            for each in found[1].get("metrics", [])
            if not each.get("tag")
        }
    worst = min(codes, key=rank)
    verdict = next((word for word in VERDICTS if word in verdicts), "undecided")
    outputs = {
        "verdict": verdict,
        "exit-code": str(worst),
        "report": os.path.relpath(REPORTS.resolve(), find_workspace(environ)),
        "metrics": json.dumps(metrics),
    }
    write_outputs(Path(environ["GITHUB_OUTPUT"]), outputs)
    return worst


if __name__ == "__main__":
    sys.exit(main(os.environ))
