"""The hook for pre-commit checks the sets of a change, several at once, and imports no agent."""

from __future__ import annotations

import re
import shlex
import tomllib

import yaml

from tests.conftest import Project
from tests.support.paths import ROOT

[HOOK] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())


def commit(project: Project, *changed: str) -> tuple[int, str]:
    """Do what pre-commit does: call the entry with the changed files that the hook is for."""
    files = [name for name in changed if re.search(HOOK["files"], name)]
    program, *arguments = shlex.split(HOOK["entry"])
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    done = project.evalkit(*arguments, *files)
    return done.code, done.out + done.err


def test_every_changed_set_is_checked_without_what_the_agent_needs(project: Project) -> None:
    project.write("bot.py", "import no_such_package\n\ndef answer(text):\n    return text\n")
    text = (project.folder / "echo.yaml").read_text()
    for name, agent in (("a", "../../bot.py:answer"), ("b", "../../bot.py:anwser"), ("c", "bot:x")):
        project.write(f"sub/evalsets/{name}.yaml", text.replace("./agent.py:answer", agent))
    project.write("README.md", "")
    project.write("sub/evalsets/cases.csv", "")
    good = ("sub/evalsets/a.yaml", "sub/evalsets/cases.csv", "README.md")
    code, shown = commit(project, *good)
    assert code == 0, shown
    assert "sub/evalsets/a.yaml: OK, 3 cases" in shown
    code, shown = commit(project, *good, "sub/evalsets/b.yaml", "sub/evalsets/c.yaml")
    assert code == 2
    assert "sub/evalsets/b.yaml:2: ../../bot.py has no 'anwser'. Did you mean 'answer'?" in shown
    # The full check needs what the agent imports, which the environment of the hook lacks.
    full = project.evalkit("validate", "sub/evalsets/a.yaml")
    assert (full.code, "no_such_package" in full.err) == (2, True)
