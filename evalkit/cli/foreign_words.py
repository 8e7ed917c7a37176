"""The words of other tools that users try, and what evalkit has instead."""

from __future__ import annotations

import re
from collections.abc import Collection

FOREIGN_COMMANDS = {
    "eval": "evalkit run",
    "evaluate": "evalkit run",
    "test": "evalkit run",
    "aa": "evalkit false-alarms",
    "compare": "evalkit diff",
    "ls": "evalkit history EVALSET, or evalkit show RUN",
    "list": "evalkit history EVALSET, or evalkit show RUN",
    "runs": "evalkit history EVALSET, or evalkit show RUN",
    "view": "evalkit report RUN",
    "open": "evalkit report RUN",
    "html": "evalkit report RUN",
    "export": "evalkit report RUN, or evalkit show RUN --format json",
    "lint": "evalkit validate",
    "check": "evalkit validate",
    "rerun": "evalkit run --last-failed, or evalkit run --resume",
    "resume": "evalkit run EVALSET --resume",
    "retry": "evalkit run EVALSET --resume --retry-errors",
    "rescore": "evalkit score RUN",
    "grade": "evalkit score RUN",
    "label": "evalkit review RUN",
    "annotate": "evalkit review RUN",
    "promote": "evalkit baseline EVALSET --from RUN",
    "new": "evalkit init",
    "create": "evalkit init",
    "docs": "evalkit help",
    "guide": "evalkit help",
    "man": "evalkit help",
    "version": "evalkit --version",
}

FOREIGN_OPTIONS = {
    "-n": "--trials N",
    "--repeat": "--trials N",
    "--repeats": "--trials N",
    "--runs": "--trials N",
    "--epochs": "--trials N",
    "--num-trials": "--trials N",
    "--failed": "--last-failed",
    "--failed-only": "--last-failed",
    "--ff": "--last-failed",
    "--filter": "-k EXPR",
    "--grep": "-k EXPR",
    "-t": "--tag TAG",
    "--tags": "--tag TAG",
    "--id": "--case ID",
    "--max": "--limit N",
    "--max-samples": "--limit N",
    "--workers": "--concurrency N",
    "--max-concurrency": "--concurrency N",
    "-j": "--concurrency N",
    "--jobs": "--concurrency N",
    "--fail-fast": "--exitfirst",
    "--bail": "--exitfirst",
    "--out": "--output FILE",
    "--report": "--html FILE, or --junit FILE",
    "--xml": "--junit FILE",
    "--junitxml": "--junit FILE",
    "--md": "--markdown FILE",
    "--json": "--format json",
    "--verbose": "--format json, which has everything",
    "--base-ref": "--base REF",
    "--compare": "--baseline RUN, or --against REF",
    "--continue": "--resume",
    "--model": "the key `model` of the agent in the eval set; see evalkit help agents",
    "--provider": "the key `agent` in the eval set; see evalkit help agents",
    "--prompt": "the key `agent` in the eval set; see evalkit help agents",
    "--judge": "the key `judge` in the eval set; see evalkit help judging",
    "--judge-model": "the key `judge` in the eval set; see evalkit help judging",
    "--metric": "the key `metrics` in the eval set; see evalkit help metrics",
    "--metrics": "the key `metrics` in the eval set; see evalkit help metrics",
    "--threshold": "the key `gate` in the eval set; see evalkit help gate",
    "--fail-under": "the key `gate` in the eval set; see evalkit help gate",
    "--timeout": "the key `timeout` of the agent in the eval set; see evalkit help agents",
    "--config": "the file evalkit.yaml, which is found by itself; see evalkit help evalset",
}


def explain_command(word: str, commands: Collection[str]) -> str:
    """Return what to type instead of an unknown command."""
    from difflib import get_close_matches

    if word in FOREIGN_COMMANDS:
        return f"there is no command {word!r}. Use {FOREIGN_COMMANDS[word]}."
    near = get_close_matches(word, commands, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else "evalkit --help lists the commands."
    return f"there is no command {word!r}. {advice}"


def explain_option(command: str, word: str, options: Collection[str]) -> str | None:
    """Return what to use instead of an unknown option; None where the command has nothing like it."""
    advice = FOREIGN_OPTIONS.get(word, "")
    named = re.findall(r"(?<![\w-])--?[a-z][\w-]*", advice.partition(";")[0])
    if not advice or (named and not set(named) & set(options)):
        return None
    return f"{command}: there is no option {word!r}. Use {advice}."
