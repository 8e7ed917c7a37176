"""Build commands to type after a run that work in the user's current folder."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.run import Run
from evalkit.evalset.base_version import baseline_run_id
from evalkit.evalset.project import Project


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandHints:
    """Commands for a project and the user's folder; `is_local` if the project contains the folder."""

    root: Path
    cwd: Path
    is_local: bool = True

    @classmethod
    def of(cls, project: Project) -> CommandHints:
        """Return the hints for a project."""
        return cls(root=project.root, cwd=project.cwd, is_local=project.contains_cwd)

    def name_set(self, run: Run) -> str:
        """Return the run's eval set as an argument of a command."""
        return shlex.quote(os.path.relpath(self.root / run.header.evalset_path, self.cwd.resolve()))

    def name_run(self, run: Run) -> str:
        """Return the run as an argument: its id if the id is found from here, else its path."""
        if self.is_local or not run.path:
            return run.header.id
        return shlex.quote(os.path.relpath(run.path, self.cwd.resolve()))

    def show(self, run: Run, case_id: str) -> str:
        """Return the command that shows one case."""
        return f"evalkit show {self.name_run(run)} {shlex.quote(case_id)}"

    def diff(self, run: Run) -> str:
        """Return the command that shows all changes since the baseline."""
        base = baseline_run_id(run.header.id) if run.header.against else "baseline"
        return f"evalkit diff {base} {self.name_run(run)}"

    def resume(self, run: Run, *, retry_errors: bool = False) -> str:
        """Return the command that resumes an unfinished run."""
        command = run.header.command
        if command == "bisect":
            # The ends are those of the command line; the stored answers are found by their commit.
            return f"evalkit bisect GOOD BAD {self.name_set(run)}"
        subject = run.header.scored_from if command == "score" else self.name_set(run)
        again = " --retry-errors" if retry_errors else ""
        if run.header.against:
            # Ten digits identify a commit and keep the command short.
            again = f" --against {run.header.against[:10]}{again}"
        return f"evalkit {command} {subject} --resume --run-id {run.header.id}{again}"

    def promote(self, run: Run) -> str:
        """Return the command that makes the run the baseline."""
        return f"evalkit baseline {self.name_set(run)} --from {self.name_run(run)}"

    def record(self, run: Run) -> str:
        """Return the command that records a baseline of several trials per case."""
        return f"evalkit baseline {self.name_set(run)}"

    def compare_now(self, run: Run, baseline: Run) -> str:
        """Return the command that runs the agent and that of the baseline in turns, without the baseline."""
        return (
            f"evalkit run {self.name_set(run)} --against {baseline.header.git_commit[:10] or 'REF'}"
        )

    def accept(self, run: Run) -> str:
        """Return the command that accepts the edits that a change makes to its gate."""
        base = run.header.base_commit[:10]
        return f"evalkit run {self.name_set(run)} --base {base} --accept-gate-changes"
