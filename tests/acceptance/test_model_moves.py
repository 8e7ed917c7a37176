"""The model behind an unchanged agent moves: runs of that agent prove it, and reports of changes say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project

AGENT = """
    import os
    from pathlib import Path

    def answer(text):
        broken = Path(os.environ["MODEL"]).read_text().split()
        return "?" if text in broken else text.upper()
"""

SET = """
    evalset: echo
    agent: {python: ./agent.py:answer, env: [MODEL]}
    gate:
      - {metric: exact_match, max_drop: 0.02}
    cases:
"""


@pytest.fixture
def served(project: Project, git: Callable[..., str], tmp_path: Path) -> Project:
    """A set with a baseline of three trials, and a model that is a file outside of the project."""
    cases = "".join(f"      - {{id: c{n}, input: x{n}, expected: X{n}}}\n" for n in range(20))
    project.write("agent.py", AGENT)
    project.write("echo.yaml", SET + cases)
    (tmp_path / "model").write_text("")
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "Answer")
    done = project.evalkit(
        "baseline", "echo.yaml", "--trials", "3", env={"MODEL": str(tmp_path / "model")}
    )
    assert done.code == 0, done.err
    return project


def test_runs_of_the_unchanged_agent_tell_a_moved_model_from_a_change(
    served: Project, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    env = {"MODEL": str(model)}
    nights = [served.evalkit("run", "echo.yaml", "--trials", "1", env=env) for _ in range(2)]
    assert all(each.code == 0 and "MODEL MOVED" not in each.out for each in nights)

    model.write_text(" ".join(f"x{n}" for n in range(8)))
    # Selected cases are no evidence.
    served.evalkit("run", "echo.yaml", "--trials", "1", "--case", "c1", env=env)
    moved = served.evalkit("run", "echo.yaml", "--trials", "1", env=env)
    for _ in range(2):
        moved = served.evalkit("run", "echo.yaml", "--trials", "1", env=env)
    text = " ".join(moved.out.split())
    assert (
        "THE MODEL MOVED: in 5 runs of the unchanged agent since the baseline, exact_match fell from 100.0%"
        in text
    )
    assert "--against" in text

    # A change is compared with the same baseline, so its report says so too, and does not count itself.
    served.write("agent.py", AGENT + "\n    NOTE = 1\n")
    change = served.evalkit("run", "echo.yaml", "--trials", "1", env=env)
    assert change.code == 1
    assert "in 5 runs of the unchanged agent" in " ".join(change.out.split())

    # What the note advises: the agent that the model moved under has the same answers.
    command = change.out[change.out.index("evalkit run echo.yaml --against") :].split()[:5]
    again = served.evalkit(*command[1:], "--trials", "1", env=env)
    assert again.code == 0
    assert "MODEL MOVED" not in again.out
