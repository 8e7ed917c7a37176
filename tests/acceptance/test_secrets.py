"""No secret is left in anything that evalkit stores or prints, and no agent gets one that is not its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import Done, Project
from tests.support.scripted_server import ScriptedServer, reply, served
from tests.support.secret_samples import FORMS, SECRETS, find_leaks, read_all, spell_all

REPORTS = ("--junit", "--markdown", "--html", "--csv", "--ctrf")
SOURCES = {"leaky.py", "leaky.yaml", "command.py", "command.yaml", "http.yaml", "failing.yaml"}

LEAKY_AGENT = """
    import json
    import os
    import sys

    import evalkit

    SPELLED = json.loads(open(os.environ["SPELLED_FILE"]).read())


    def answer(text):
        if text.startswith("fail "):
            leaks = SPELLED[text.removeprefix("fail ")]
            print(*leaks, file=sys.stderr)
            raise RuntimeError(" | ".join(leaks[:9]))
        leaks = SPELLED[text]
        print(*leaks, file=sys.stderr)
        with evalkit.span("tool", "look", arguments={"q": leaks}, note=leaks[0]) as step:
            step.set(result={"env": leaks})
        return {
            "output": "\\n".join(leaks),
            "data": {"env": leaks, leaks[0]: 1},
            "metadata": {"env": leaks},
            "tool_calls": [{"name": "look", "arguments": {leaks[1]: leaks}, "result": " ".join(leaks)}],
        }
"""

COMMAND_AGENT = """
    import json
    import os
    import sys

    leaks = json.loads(open(os.environ["SPELLED_FILE"]).read())[sys.argv[1]]
    print(*leaks[:9])
    print(*leaks[9:], file=sys.stderr)
    sys.exit(3)
"""


def write_sets(project: Project, url: str) -> None:
    names = ", ".join(["SPELLED_FILE", *SECRETS])
    cases = [f"- {{id: {name}, input: {name}, expected: x}}" for name in SECRETS]
    failing = [
        f"- {{id: {name}-fails, input: fail {name}, expected: x}}" for name in SECRETS
    ]
    sent = {"X-Key": "SHOP_API_KEY", "X-Setting": "PLAIN_SETTING", "X-Region": "REGION_HINT"}
    headers = json.dumps({header: f"${{{name}}}" for header, name in sent.items()})
    agents = {
        "leaky": "python: ./leaky.py:answer",
        "failing": "python: ./leaky.py:answer",
        "command": f"command: [{sys.executable}, ./command.py, '{{input}}']",
        "http": f"http: {{url: '{url}', body: {{q: '{{input}}'}}, headers: {headers}}}",
    }
    for name, agent in agents.items():
        rows = failing if name == "failing" else cases
        body = "\n".join(f"  {row}" for row in rows)
        env = "" if name == "http" else f"env: [{names}]\n  "
        project.write(
            f"{name}.yaml",
            f"evalset: {name}\nagent:\n  {env}attempts: 1\n  {agent}\nmetrics: [exact_match]\n"
            f"trials: 1\nconcurrency: 4\nmax_errors: 100\ncases:\n{body}\n",
        )
    project.write("leaky.py", LEAKY_AGENT)
    project.write("command.py", COMMAND_AGENT)


def run_all_formats(project: Project, name: str, env: dict[str, str]) -> Done:
    files = [word for option in REPORTS for word in (option, f"{name}{option}.txt")]
    return project.evalkit("run", f"{name}.yaml", "--run-id", name, "--cache", *files, "--format", "json", env=env)


@pytest.mark.slow
def test_no_form_of_any_secret_is_left_in_any_byte(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    spelled = tmp_path / "spelled.json"
    spelled.write_text(json.dumps({name: spell_all(value) for name, value in SECRETS.items()}))
    env = {**SECRETS, "SPELLED_FILE": str(spelled)}
    printed: dict[str, bytes] = {}
    body = " ".join(leak for value in SECRETS.values() for leak in spell_all(value))
    plays = [
        reply(json.dumps({"output": body}).encode(), status=status) for status in (200, 500, 400)
    ]
    with served(ScriptedServer(plays=tuple(plays))) as server:
        write_sets(project, server.url)
        for name in ("leaky", "failing", "command", "http"):
            done = run_all_formats(project, name, env)
            printed |= {f"{name} out": done.out.encode(), f"{name} err": done.err.encode()}
            assert done.code in (0, 1, 3), done.err
    for words in (
        ("show", "leaky"),
        ("show", "leaky", "SHOP_TOKEN"),
        ("traces", "--tool", "look"),
        ("gate", "leaky", "--format", "github"),
        ("baseline", "leaky.yaml"),
    ):
        done = project.evalkit(*words, env=env)
        printed |= {f"{words} out": done.out.encode(), f"{words} err": done.err.encode()}
    stored = read_all(project.folder, SOURCES)
    assert any("cache" in place for place in stored)
    assert any("baselines" in place for place in stored)
    assert any(place.endswith("(rows)") for place in stored)
    assert len(SECRETS) >= 22
    assert len(FORMS) >= 12
    assert sorted(find_leaks(SECRETS, {**stored, **printed})) == []
    text = b"".join(stored.values()).decode(errors="replace")
    for name in SECRETS:
        assert f"[redacted:{name}]" in text
