"""`evalkit doctor` checks the place, and says what to do about each thing that is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from tests.conftest import Done, Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, reply, served
from tests.support.stub_judges import honest, replying

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
"""The search path of an activated environment."""

KEY = "sk-s3cret-canary-key"


def checks_of(done: Done) -> dict[str, Mapping[str, Any]]:
    assert done.json["schema"] == "evalkit.doctor/v1"
    return {check["name"]: check for check in done.json["checks"]}


def diagnose(project: Project, *arguments: str, code: int, **env: str) -> dict[str, Any]:
    done = project.evalkit("doctor", *arguments, "--format", "json", env={"PATH": PATH, **env})
    assert done.code == code, done.out + done.err
    assert KEY not in done.out + done.err
    return dict(checks_of(done))


def statuses(checks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: check["status"] for name, check in checks.items()}


def write_judged_set(project: Project, url: str) -> None:
    project.write(
        "judged.yaml",
        f"""
        agent: {{python: ./agent.py:answer}}
        judge: {{openai: {{model: m1, base_url: {url}/v1, api_key_env: MY_KEY}}, prices: {{input: 1000, output: 1000}}}}
        cases: [{{id: a, input: q, criteria: [Is it polite?]}}]
        """,
    )


def test_a_place_in_order_passes_and_each_gap_is_named(
    project: Project, git: Callable[..., str]
) -> None:
    bare = diagnose(project, code=0)
    assert statuses(bare) == {
        "python": "ok",
        "evalkit": "ok",
        "locale": "ok",
        "git": "warn",
        "CI": "ok",
        "store": "ok",
        "workers": "ok",
    }
    assert "git init" in bare["git"]["advice"]
    other = project.write("bin/evalkit", "#!/bin/sh\n")
    other.chmod(0o755)
    shadowed = diagnose(project, code=0, PATH=f"{other.parent}{os.pathsep}{PATH}")
    assert shadowed["evalkit"]["status"] == "warn"
    assert str(other) in shadowed["evalkit"]["found"]
    git("init", "-q", "-b", "main")
    assert "nothing is committed" in diagnose(project, code=0)["git"]["found"]
    git("add", ".")
    git("commit", "-qm", "first")

    whole = diagnose(project, "echo.yaml", code=0)
    assert set(statuses(whole).values()) == {"ok"}
    assert whole["base"]["found"].startswith("none, as this is no build of a change.")
    assert whole["set"]["found"] == "echo.yaml: 3 cases, the agent can be loaded"
    assert not (project.folder / ".evalkit").exists(), "looking leaves nothing behind"

    # The base that a pull request names is not in this clone.
    of_change = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "release", "CI": "true"}
    change = diagnose(project, code=2, **of_change)
    assert change["CI"]["found"] == "GitHub Actions, a build of a change"
    assert change["base"]["status"] == "fail"
    assert "release" in change["base"]["found"]


def test_a_workflow_that_installs_what_ci_lacks_is_named(
    project: Project, git: Callable[..., str]
) -> None:
    git("init", "-q", "-b", "main")
    assert project.evalkit("init").code == 0
    workflow = project.folder / ".github/workflows/evalkit.yml"
    lines = workflow.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if " install:" in line)
    for value, is_there in (
        ("/home/me/evalkit", False),
        ("./wheels/evalkit.whl", False),
        ("./agent.py", True),
        ("evalkit-ci==0.2.0", True),
    ):
        lines[place] = f'          install: "{value}"'
        workflow.write_text("\n".join(lines))
        found = [
            check["found"]
            for check in project.evalkit("doctor", "--format", "json", env={"PATH": PATH}).json[
                "checks"
            ]
            if check["name"] == "workflow" and ".github/workflows/evalkit.yml" in check["found"]
        ]
        assert (found == []) is is_there, found
        assert is_there or value in found[0]


def test_what_is_wrong_with_a_set_and_the_store_fails(project: Project) -> None:
    project.write("agent.py", "import no_such_module\n")
    checks = diagnose(project, "echo.yaml", code=2)
    assert checks["set"]["status"] == "fail"
    assert "no_such_module" in checks["set"]["found"]
    missing = diagnose(project, "ehco.yaml", code=2)
    assert "did you mean 'echo.yaml'?" in missing["set"]["found"]
    assert "no_such_module" in diagnose(project, ".", code=2)["set"]["found"]

    # Root writes into any folder, so this is none.
    (project.folder / ".evalkit").write_text("")
    text = project.evalkit(
        "doctor", "echo.yaml", env={"PATH": PATH, "COLUMNS": "80", "PYTHONIOENCODING": "ascii"}
    )
    assert text.code == 2
    lines = text.out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[:2] for line in lines if line.startswith("  fail")] == [
        ["fail", "store"],
        ["fail", "set"],
    ]
    assert lines[-1] == "2 checks failed, 2 warnings."


def test_a_judge_is_asked_one_question(project: Project) -> None:
    no_judge = diagnose(project, "--judge", code=0)
    assert "evalkit.yaml" in no_judge["judge"]["advice"]
    fast = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    def choose(asked: Asked) -> Play:
        if asked.method == "HEAD":
            return reply(status=404, headers={"Date": fast})
        return replying(honest)(asked)

    with served(ScriptedServer(choose=choose)) as server:
        write_judged_set(project, server.url)
        keyless = diagnose(project, "judged.yaml", code=2)
        assert keyless["judge"]["status"] == "fail"
        assert "'MY_KEY', which holds the key, is not set" in keyless["judge"]["found"]
        assert keyless["set"]["status"] == "ok", "one cause, one problem"
        assert not server.asked

        answered = diagnose(project, "judged.yaml", code=0, MY_KEY=KEY)
        assert answered["judge"]["status"] == "ok"
        assert answered["judge"]["found"].startswith(f"m1 at 127.0.0.1:{server.port} answered one")
        assert "$" in answered["judge"]["found"]
        assert answered["clock"]["status"] == "warn"
        assert "s off the judge's server" in answered["clock"]["found"]
        assert [asked.method for asked in server.asked] == ["POST", "HEAD"]

        project.write(
            "evalkit.yaml", f"judge: {{openai: {{model: m1, base_url: {server.url}/v1}}}}\n"
        )
        shared = diagnose(project, "--judge", code=0, OPENAI_API_KEY=KEY)
        assert shared["judge"]["status"] == "ok"
    # Nothing listens there now. No call is repeated, so this does not take long.
    gone = diagnose(project, "--judge", code=2, OPENAI_API_KEY=KEY)
    assert "no connection to 127.0.0.1" in gone["judge"]["found"]
    assert gone["judge"]["advice"] == "Check the address, the key, and the network."
    assert "clock" not in gone
