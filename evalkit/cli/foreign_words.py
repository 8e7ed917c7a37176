"""Suggest commands and options of evalkit for the names that other tools use."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

# Names from similar tools, from pytest, and from evalkit before its first release.
COMMANDS = {
    "evalkit run": "eval evaluate test tests start execute bench benchmark",
    "evalkit false-alarms": "aa",
    "evalkit diff": "compare",
    "evalkit runs": "ls list results logs status stats",
    "evalkit view": "open ui web serve server dashboard",
    "evalkit report RUN": "html",
    "evalkit report RUN, or evalkit show RUN --format json": "export",
    "evalkit validate": "lint check",
    "evalkit run --last-failed, or evalkit run --resume": "rerun",
    "evalkit run EVALSET --resume": "resume",
    "evalkit run EVALSET --resume --retry-errors": "retry",
    "evalkit score RUN": "rescore grade",
    "evalkit review RUN": "label annotate",
    "evalkit baseline EVALSET --from RUN": "promote",
    "evalkit init": "new create setup generate scaffold quickstart config configure",
    "evalkit help": "docs guide man manual",
    "evalkit help evalset, which lists the keys of a set": "convert migrate",
    "evalkit traffic import FILE --as NAME": "import ingest",
    "evalkit repair RUN": "fix recover",
    "evalkit doctor": "diagnose env environment info",
    "evalkit traces": "trace spans",
    "rm -r .evalkit/runs/RUN": "delete rm remove clean prune",
    "evalkit --version": "version",
}
"""What to type in evalkit, with the commands of other tools that it replaces."""

OPTIONS = {
    "--trials N": "-n --repeat --repeats --runs --epochs --num-trials",
    "--last-failed": "--failed --failed-only --ff --filter-failing",
    "-k EXPR": "--filter --filter-pattern --grep",
    "--tag TAG": "-t --tags --filter-metadata",
    "--case ID": "--id",
    "--limit N": "--max --max-samples --filter-first-n --filter-sample",
    "--concurrency N": "--workers --max-concurrency -j --jobs",
    "--exitfirst": "--fail-fast --bail",
    "--output FILE": "--out",
    "--html FILE, or --junit FILE": "--report",
    "--junit FILE": "--xml --junitxml",
    "--markdown FILE": "--md",
    "--format json": "--json",
    "--format json, which has all details": "--verbose",
    "--base REF": "--base-ref",
    "--baseline RUN, or --against REF": "--compare",
    "--resume": "--continue",
    "the key `model` of the agent in the eval set; see evalkit help agents": "--model",
    "the key `agent` in the eval set; see evalkit help agents": "--provider --providers --prompt --prompts",
    "the key `judge` in the eval set; see evalkit help judging": "--judge --judge-model",
    "the key `metrics` in the eval set; see evalkit help metrics": "--metric --metrics",
    "the key `gate` in the eval set; see evalkit help gate": "--threshold --fail-under",
    "the key `timeout_s` of the agent in the eval set; see evalkit help agents": "--timeout",
    "the file evalkit.yaml, which is found automatically; see evalkit help evalset": "--config",
    "the eval set as an argument, as in evalkit run evalsets/faq.yaml": "-c",
    "nothing: without --cache, every answer is asked for again": "--no-cache",
}
"""What to use in evalkit, with the options of other tools that it replaces."""


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: answer for answer, words in table.items() for word in words.split()}


FOREIGN_COMMANDS = _by_word(COMMANDS)
FOREIGN_OPTIONS = _by_word(OPTIONS)


def explain_command(word: str, commands: Collection[str], group: str = "evalkit") -> str:
    """Return what to type instead of an unknown command of a group."""
    from difflib import get_close_matches

    if group == "evalkit" and word in FOREIGN_COMMANDS:
        return f"there is no command {word!r}. Use {FOREIGN_COMMANDS[word]}."
    near = get_close_matches(word, commands, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else f"{group} --help lists the commands."
    return f"there is no command {word!r}. {advice}"


def explain_option(command: str, word: str, options: Collection[str]) -> str | None:
    """Return what to use instead of an unknown option; None if the command has no such option."""
    advice = FOREIGN_OPTIONS.get(word, "")
    named = re.findall(r"(?<![\w-])--?[a-z][\w-]*", advice.partition(";")[0])
    # For example, `show` has no --trials, so `show -n 3` is an ordinary usage error.
    if not advice or (named and not set(named) & set(options)):
        return None
    return f"{command}: there is no option {word!r}. Use {advice}."
