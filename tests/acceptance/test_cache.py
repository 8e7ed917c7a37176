"""`evalkit run --cache` as a user sees it: nothing stale passes, and the report says what it covers."""

from __future__ import annotations

import re

from tests.conftest import Done, Project
from tests.support.scripted_server import ScriptedServer, reply, served

SET = """
    evalset: cached
    agent: {agent}
    metrics: [exact_match]
    cases:
      - {{id: a, input: q, expected: kind 30 days}}
"""


def run(project: Project, *options: str) -> Done:
    return project.evalkit("run", "set.yaml", "--trials", "1", "--cache", *options)


def test_an_edit_of_a_module_or_of_a_file_is_never_answered_from_the_cache(
    project: Project,
) -> None:
    project.write("set.yaml", SET.format(agent='{python: "./agent.py:answer"}'))
    project.write("prompts/system.py", 'TONE = "kind"\n')
    project.write("facts.txt", "30 days\n")
    project.write(
        "agent.py",
        """
        from pathlib import Path

        def answer(prompt):
            from prompts.system import TONE
            return f"{TONE} {(Path(__file__).parent / 'facts.txt').read_text().strip()}"
        """,
    )
    assert run(project).code == 0
    kept = run(project, "--format", "json")
    assert kept.json["run"]["cache"] == {"count": 1, "answers": 1, "not_covered": []}
    project.write("prompts/system.py", 'TONE = "rude"\n')
    rude = run(project)
    assert (rude.code, "from the cache" in rude.out) == (1, False)
    project.write("prompts/system.py", 'TONE = "kind"\n')
    project.write("facts.txt", "3 days\n")
    assert run(project).code == 1


def test_of_a_command_the_project_is_covered_and_the_rest_is_named(project: Project) -> None:
    project.write("set.yaml", SET.format(agent="{command: [./agent.sh]}"))
    project.write("facts.txt", "kind 30 days\n")
    script = project.write("agent.sh", "#!/bin/sh\necho asked >> calls.log\ncat facts.txt\n")
    script.chmod(0o755)
    assert run(project, "--junit", "junit.xml", "--markdown", "out.md").code == 0
    kept = run(project, "--junit", "junit.xml", "--markdown", "out.md")
    sentence = (
        "1 of 1 answer from the cache, which does not cover: what ./agent.sh reads outside of the "
        "project or in folders that git ignores; calls.log, which changed during a run"
    )
    assert sentence in " ".join(kept.out.split())
    assert sentence in re.sub(r"[`\\\n]", "", (project.folder / "out.md").read_text())
    project.write("facts.txt", "kind 3 days\n")
    assert run(project).code == 1
    assert (project.folder / "calls.log").read_text() == "asked\nasked\n"


def test_of_a_server_nothing_is_covered_and_the_report_says_so(project: Project) -> None:
    with served(ScriptedServer((reply("kind 30 days", kind="text/plain"),))) as server:
        project.write(
            "set.yaml", SET.format(agent=f'{{http: {{url: "{server.url}", text: true}}}}')
        )
        assert run(project).code == 0
    kept = run(project, "--format", "json")
    assert kept.code == 0, kept.err
    [gap] = kept.json["run"]["cache"]["not_covered"]
    assert gap.startswith("changes of POST http://127.0.0.1")
