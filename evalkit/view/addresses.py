"""Name the pages of a site. A name is only looked up among those of the store, never joined to a path.

The addresses are those of files, so that served and exported pages have the same links.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote

HOME = "index.html"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def runs_page(number: int) -> str:
    """Return the address of a page of the list of runs; the first one is the home page."""
    return HOME if number <= 1 else f"runs-{number}.html"


def set_page(evalset_path: str) -> str:
    """Return the address of the history of a set."""
    name = _NOT_PLAIN.sub("-", evalset_path.rpartition("/")[2].rpartition(".")[0])[:60]
    return f"sets/{name.strip('.-') or 'set'}-{_hash(evalset_path)}.html"


def run_page(run_id: str) -> str:
    """Return the address of the report of a run."""
    return f"runs/{name_run(run_id)}.html"


def case_page(run_id: str, case_name: str) -> str:
    """Return the address of a case of a run; `name_cases` has the names."""
    return f"runs/{name_run(run_id)}/{case_name}.html"


def diff_page(base: str, candidate: str) -> str:
    """Return the address of the comparison of a run with another run, or with `baseline`."""
    return f"diffs/{name_run(candidate)}/{name_run(base)}.html"


def compare_page(run_id: str) -> str:
    """Return the address of the list of what a run can be compared with."""
    return f"compare/{name_run(run_id)}.html"


def name_run(run_id: str) -> str:
    """Return the name of a run in addresses: its id, unless a file cannot have that name everywhere."""
    return run_id if _PLAIN.fullmatch(run_id) else f"run-{_hash(run_id)}"


def name_cases(case_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of the cases of a run in addresses, by case id."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for number, case_id in enumerate(case_ids, start=1):
        name = f"case-{case_id}"
        # Some file systems do not distinguish upper and lower case.
        if not _PLAIN.fullmatch(case_id) or name.casefold() in taken:
            name = f"case~{number}"
        taken.add(name.casefold())
        names[case_id] = name
    return names


def relative_link(source: str, target: str, anchor: str = "") -> str:
    """Return the link from one page to another, which works under any folder and from files.

    >>> relative_link("runs/a.html", "diffs/a/b.html", "case-1")
    '../diffs/a/b.html#case-1'
    """
    up = "../" * source.count("/")
    fragment = f"#{quote(anchor, safe='')}" if anchor else ""
    return f"{up}{quote(target)}{fragment}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:6]
