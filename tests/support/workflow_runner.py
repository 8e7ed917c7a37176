"""Run the shell steps of a workflow or an action as a runner of GitHub does, with inputs and folders."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}", re.DOTALL)


@dataclass
class Runner:
    """A checkout with its variables, and the log of what ran there."""

    top: Path
    environ: Mapping[str, str]
    temporary: Path
    log: str = ""
    uploads: dict[str, list[Path]] = field(default_factory=dict)

    def run_workflow(self, name: str) -> int:
        """Run the only job of a workflow; return the code of the first step that fails, or 0."""
        workflow = yaml.safe_load((self.top / ".github" / "workflows" / name).read_text())
        [job] = workflow["jobs"].values()
        return self._run_steps(job["steps"], {}, self.top)

    def _run_steps(
        self, steps: list[dict[str, Any]], inputs: Mapping[str, str], action: Path
    ) -> int:
        code = 0
        for step in steps:
            used = step.get("uses", "")
            given = {name: self._fill(text, inputs) for name, text in step.get("with", {}).items()}
            if used.startswith("./"):
                code = code or self._run_action(self.top / used, given)
            elif used.startswith("actions/upload-artifact@"):
                lines = given["path"].splitlines()
                self.uploads[given["name"]] = [self.top / line for line in lines]
            elif "run" in step and not code:
                folder = self.top / self._fill(step.get("working-directory", "."), inputs)
                env = {key: self._fill(text, inputs) for key, text in step.get("env", {}).items()}
                code = self._run_shell(
                    step["run"], folder, {**env, "GITHUB_ACTION_PATH": str(action)}
                )
        return code

    def _run_action(self, folder: Path, given: Mapping[str, str]) -> int:
        action = yaml.safe_load((folder / "action.yml").read_text())
        defaults = {name: str(each.get("default", "")) for name, each in action["inputs"].items()}
        assert set(given) <= set(defaults)
        return self._run_steps(action["runs"]["steps"], {**defaults, **given}, folder)

    def _run_shell(self, script: str, folder: Path, env: Mapping[str, str]) -> int:
        output = self.temporary / "output"
        output.touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env={
                **self.environ,
                "GITHUB_WORKSPACE": str(self.top),
                "GITHUB_OUTPUT": str(output),
                **env,
            },
            capture_output=True,
            check=False,
            text=True,
        )
        self.log += done.stdout + done.stderr
        return done.returncode

    def _fill(self, text: object, inputs: Mapping[str, str]) -> str:
        known = {f"inputs.{name}": value for name, value in inputs.items()}
        known |= {"runner.temp": str(self.temporary)}
        return _EXPRESSION.sub(lambda found: known.get(found[1], ""), str(text))
