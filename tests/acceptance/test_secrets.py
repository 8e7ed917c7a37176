"""No secret is left in anything that evalkit stores or prints, and no agent gets one that is not its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Done, Project
from tests.support.scripted_server import ScriptedServer, reply, served, stream
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
    failing = [f"- {{id: {name}-fails, input: fail {name}, expected: x}}" for name in SECRETS]
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
    return project.evalkit(
        "run",
        f"{name}.yaml",
        "--run-id",
        name,
        "--cache",
        *files,
        "--format",
        "json",
        env=env,
        timeout_s=240,
    )


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
        done = project.evalkit(*words, env=env, timeout_s=240)
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
        assert f"***{name}***" in text


CASES = "metrics: [exact_match]\ncases:\n  - {id: one, input: one, expected: ONE}\n"
REFUSED = {
    "header": "{http: {url: 'http://127.0.0.1:1', headers: {Authorization: 'Bearer ${GITHUB_TOKEN}'}}}",
    "url": "{http: 'http://127.0.0.1:1/{input}?t=${CI_JOB_TOKEN}'}",
    "key": "{openai: {model: m, base_url: 'http://127.0.0.1:1', api_key_env: SYSTEM_ACCESSTOKEN}}",
    "chat-header": "{openai: {model: m, base_url: 'http://127.0.0.1:1', headers: {X: '${NPM_TOKEN}'}}}",
    "env": "{env: [ACTIONS_ID_TOKEN_REQUEST_URL], python: './agent.py:answer'}",
    "judge-header": "{http: {url: 'http://example.org', headers: {K: '${MY_JUDGE}'}}}",
    "judge-env": "{env: [MY_JUDGE], python: './agent.py:answer'}",
    "judge-default": "{openai: {model: m, base_url: 'http://example.org'}}",
}
TOKENS = {
    "GITHUB_TOKEN", "CI_JOB_TOKEN", "SYSTEM_ACCESSTOKEN", "NPM_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
    "MY_JUDGE", "OPENAI_API_KEY",
}  # fmt: skip


def test_no_agent_gets_a_token_of_the_job_or_the_key_of_the_judge(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("agent.py", "def answer(text):\n    return text.upper()\n")
    url = "http://127.0.0.1:2"
    for name, agent in REFUSED.items():
        key = "" if name == "judge-default" else ", api_key_env: MY_JUDGE"
        judge = f"judge: {{openai: {{model: m, base_url: '{url}'{key}}}}}\n"
        project.write(f"{name}.yaml", f"evalset: {name}\nagent: {agent}\n{judge}{CASES}")
    same = f"{{openai: {{model: m, base_url: '{url}', api_key_env: MY_JUDGE}}}}"
    judge = f"judge: {{openai: {{model: m, base_url: '{url}', api_key_env: MY_JUDGE}}}}\n"
    project.write("same-host.yaml", f"evalset: same\nagent: {same}\n{judge}{CASES}")
    done = project.evalkit(
        "validate", *(f"{name}.yaml" for name in REFUSED), env=dict.fromkeys(TOKENS, "t0ken-4711-x")
    )
    assert done.code == 2
    text = done.out + done.err
    for name, variable in zip(
        REFUSED,
        ("GITHUB_TOKEN", "CI_JOB_TOKEN", "SYSTEM_ACCESSTOKEN", "NPM_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
         "MY_JUDGE", "MY_JUDGE", "OPENAI_API_KEY"),
        strict=True,
    ):  # fmt: skip
        assert f"{name}.yaml:2" in text, name
        [line] = [each for each in text.splitlines() if each.strip().startswith(f"{name}.yaml:2")]
        assert f"environment variable {variable!r}" in line
    allowed = project.evalkit("validate", "same-host.yaml", env={"MY_JUDGE": "t0ken-4711-x"})
    assert allowed.code == 0, allowed.err


def run_git(project: Project, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=project.folder,
        env=project.environ(),
        capture_output=True,
        check=True,
    )


@pytest.mark.parametrize(
    ("before", "now", "named", "is_called"),
    [
        ("env: [OLD_KEY]", "env: [OLD_KEY, DEPLOY_KEY]", "the variable DEPLOY_KEY", False),
        ("env: [OLD_KEY]", "env: [OLD_KEY, AWS_ROLE_ARN]", "the variable AWS_ROLE_ARN", False),
        ("env: [OLD_KEY, DEPLOY_KEY]", "env: [DEPLOY_KEY]", "", True),
    ],
)
def test_a_change_gives_its_agent_no_new_variable_without_approval(
    tmp_path: Path, before: str, now: str, named: str, is_called: bool
) -> None:
    project = Project(tmp_path)
    project.write(
        "agent.py", "def answer(text):\n    open('called', 'w')\n    return text.upper()\n"
    )
    body = f"evalset: echo\nagent: {{python: './agent.py:answer', {{}}}}\n{CASES}"
    project.write("echo.yaml", body.replace("{}", before).replace("{{", "{").replace("}}", "}"))
    project.write(".gitignore", ".evalkit/\n__pycache__/\ncalled\n")
    run_git(project, "init", "-q", "-b", "main")
    run_git(project, "add", ".")
    run_git(project, "commit", "-qm", "base")
    run_git(project, "checkout", "-qb", "change")
    text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", text.replace(before, now))
    env = {"OLD_KEY": "old", "DEPLOY_KEY": "deploy", "AWS_ROLE_ARN": "role"}
    done = project.evalkit("run", "echo.yaml", "--base", "main", env=env)
    assert (project.folder / "called").exists() == is_called
    if not named:
        assert done.code == 0, done.err
        return
    assert done.code == 4
    assert named in done.err
    accepted = project.evalkit(
        "run", "echo.yaml", "--base", "main", "--accept-gate-changes", env=env
    )
    assert accepted.code == 0, accepted.err
    assert named in accepted.out


SPY = """
    import os
    import re
    import subprocess

    import psutil


    def answer(text):
        evalkit = psutil.Process(os.getppid())
        assert "evalkit" in " ".join(evalkit.cmdline())
        found = []
        for name in ("environ", "mem"):
            try:
                with open(f"/proc/{evalkit.pid}/{name}", "rb") as file:
                    found.append(file.read(1_000_000) if name == "environ" else b"")
            except OSError:
                found.append(b"")
        own = subprocess.run(["env"], capture_output=True).stdout
        words = b"4711-s3cret-4711"
        return "seen" if any(words in each for each in (*found, own)) else "NOTHING"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hide no environment")
def test_no_agent_reads_the_environment_that_evalkit_was_started_with(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("spy.py", SPY)
    project.write(
        "spy.yaml",
        f"evalset: spy\nagent: {{python: './spy.py:answer'}}\n{CASES}".replace("ONE", "NOTHING"),
    )
    secret = "4711-s3cret-4711"
    env = {"JUDGE_API_KEY": secret, "SOME_SETTING": secret, "MY_URL": f"http://u:{secret}@h"}
    done = project.evalkit("run", "spy.yaml", env=env)
    assert done.code == 0, done.out
    script = (
        "import ctypes, os\n"
        "from evalkit.cli.private_process import PROCESS\n"
        "PROCESS.own()\n"
        "taken = PROCESS.take()\n"
        "block = open('/proc/self/environ', 'rb').read()\n"
        "print(taken['JUDGE_API_KEY'] == PROCESS.variables['JUDGE_API_KEY'], 'JUDGE_API_KEY' in os.environ,"
        " os.environ['SOME_NAME'], b'4711' in block, b'PATH=/' in block, ctypes.CDLL(None).prctl(3))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **env, "SOME_NAME": "plain name"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "True False plain name False True 0"


def test_ordinary_words_of_the_environment_stay_in_answers(tmp_path: Path) -> None:
    project = Project(tmp_path)
    plain = {
        "APP_SECRET": "production",
        "DEBUG_KEY": "true",
        "SHOP_NAME": "Contoso Outdoor 24",
        "MODEL": "gpt-4o-mini-2024-07-18",
        "ADDRESS": "http://localhost:8080/v1",
    }
    project.write(
        "agent.py",
        "import os\n\ndef answer(text):\n    return os.environ[text]\n",
    )
    rows = "".join(
        f"  - {{id: {name}, input: {name}, expected: '{value}'}}\n" for name, value in plain.items()
    )
    project.write(
        "plain.yaml",
        f"evalset: plain\nagent: {{python: './agent.py:answer', env: [{', '.join(plain)}]}}\n"
        f"metrics: [exact_match]\ncases:\n{rows}",
    )
    done = project.evalkit("run", "plain.yaml", env=plain)
    assert done.code == 0, done.out


def test_a_secret_that_a_stream_cuts_is_redacted(tmp_path: Path) -> None:
    project = Project(tmp_path)
    secret = SECRETS["SHOP_API_KEY"]
    pieces = [secret[at : at + 3] for at in range(0, len(secret), 3)]
    good = [f"data: {json.dumps({'delta': piece})}\n\n".encode() for piece in pieces]
    wrong = [piece.replace(b"delta", b"other") for piece in good]
    plays = (stream([*good, b"data: [DONE]\n\n"]), stream([*wrong, b"data: [DONE]\n\n"]))
    with served(ScriptedServer(plays=plays)) as server:
        project.write(
            "stream.yaml",
            f"evalset: stream\nagent: {{attempts: 1, http: {{url: '{server.url}', body: {{q: '{{input}}'}}, "
            "stream: {delta: delta}}}\nmetrics: [exact_match]\nconcurrency: 1\nmax_errors: 9\ntrials: 1\ncases:\n"
            "  - {id: one, input: one, expected: ONE}\n  - {id: two, input: two, expected: ONE}\n",
        )
        project.evalkit("run", "stream.yaml", env={"SHOP_API_KEY": secret})
    first, second = project.rows()
    assert first["output"]["text"] == "***SHOP_API_KEY***"
    assert second["output"]["error"]
    stored = json.dumps(second)
    assert sum(piece in stored for piece in pieces) <= 1
