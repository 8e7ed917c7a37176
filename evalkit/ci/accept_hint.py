"""Find the command by which a person accepts the edits that a change makes to its gate, in this CI system."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

from evalkit.core.ci_markers import is_ci
from evalkit.core.git import find_checkout
from evalkit.core.run import Run
from evalkit.core.source_files import UnreadableFile, read_file
from evalkit.evalset.project import Project
from evalkit.report.model import Hint
from evalkit.report.next_steps import CommandHints

_LABEL = re.compile(rb"""^\s*accept-label:\s*["']?(?P<label>[^"'#\r\n]+)""", re.MULTILINE)
_PULL = re.compile(r"refs/pull/(\d+)/")
_MAX_BYTES = 1_000_000


def find_accept_hint(run: Run, project: Project) -> Hint | None:
    """Return how a person accepts the edits in CI; None outside of CI, where nobody else has to.

    A workflow on GitHub may have a label for it; see `evalkit help ci`.
    """
    if not is_ci(project.environ):
        return None
    label = _find_label(project.root) if project.environ.get("GITHUB_ACTIONS") else ""
    if label:
        number = _PULL.match(project.environ.get("GITHUB_REF", ""))
        words = ("gh", "pr", "edit", *(number.groups() if number else ()), "--add-label", label)
        return Hint("if the edits are meant, a maintainer applies the label", shlex.join(words))
    local = CommandHints.of(project).accept(run)
    accepted = f"--accepted-by NAME@{project.git.commit or 'COMMIT'}"
    return Hint(
        "if the edits are meant, in a job that only maintainers can start",
        local.replace("--accept-gate-changes", accepted),
    )


def _find_label(root: Path) -> str:
    """Return the label by which a workflow of the checkout accepts a change; empty if there is none."""
    top = find_checkout(root)
    for path in sorted((top / ".github" / "workflows").glob("*.y*ml")) if top else ():
        with suppress(UnreadableFile):
            if found := _LABEL.search(read_file(path, _MAX_BYTES)):
                return found["label"].decode(errors="replace").strip()
    return ""
