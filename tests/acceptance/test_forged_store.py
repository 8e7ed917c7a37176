"""What an agent writes while it answers, or a change prepares, never makes a wrong answer pass."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.conftest import Done, Project
from tests.support.scripted_server import ScriptedServer, served
from tests.support.stub_judges import honest, replying

Git = Callable[..., str]

KEY = "sk-a-key-that-nobody-can-guess"

RUBRIC = """
    rubric: correct
    needs: [reference]
    pass_at: 1
    criteria:
      - name: agrees
        question: Does the answer say what the reference says?
"""

AGENT = """
    import json, os, pathlib, sys
    ROOT = pathlib.Path(__file__).parent
    STORE = ROOT / ".evalkit"
    WRONG = {wrong!r}

    def answer(text):
        if WRONG:
            attack()
        return f"{{text}}: it is " + ("Rome" if WRONG else "Paris")

    def attack():
"""


@pytest.fixture(scope="module")
def judge() -> Iterator[ScriptedServer]:
    with served(ScriptedServer(choose=replying(honest))) as server:
        yield server


def write_agent(project: Project, attack: str = "pass", *, wrong: bool) -> None:
    body = "\n".join("    " + line for line in dedent(attack).strip().splitlines())
    project.write("agent.py", dedent(AGENT.format(wrong=wrong)).lstrip() + body + "\n")


def write_set(project: Project, url: str = "", *, cases: int = 2) -> None:
    listed = "".join(
        f"  - {{id: c{number}, input: q{number}, expected: Paris}}\n" for number in range(cases)
    )
    judged = f"judge: {{openai: {{model: m1, base_url: {url}/v1}}}}\nmetrics: [{{rubric: correct.yaml}}]\n"
    plain = "metrics: [contains]\n"
    project.write("correct.yaml", RUBRIC)
    project.write(
        "set.yaml",
        "evalset: capital\nagent: {python: ./agent.py:answer}\nconcurrency: 1\n"
        f"{judged if url else plain}cases:\n{listed}",
    )


def run(project: Project, *options: str, env: dict[str, str] | None = None) -> Done:
    return project.evalkit("run", "set.yaml", "--trials", "1", *options, env=env)


def commit(git: Git, message: str = "c") -> None:
    git("add", "-A")
    git("commit", "-qm", message)


# --- what is written during a run ---------------------------------------------------------------

FORGE_VERDICTS = """
    # Everything that evalkit itself would write, for the wrong answer and for every later question.
    from evalkit.core.serialization import canonical_json, digest
    folder = STORE / "cache/verdicts"
    for entry in list(folder.glob("*/*.json")):
        kept = json.loads(entry.read_text())
        for verdict in kept["record"].get("verdicts", []):
            verdict.update(level="yes", value=1.0)
        kept["digest"] = digest(kept["record"])
        entry.write_text(canonical_json(kept))
        kept["key"] = "ab" + kept["key"][2:]
        (folder / "ab").mkdir(exist_ok=True)
        (folder / "ab" / (kept["key"] + ".json")).write_text(canonical_json(kept))
"""


@pytest.mark.parametrize("key", [KEY, ""], ids=["sealed", "not sealed"])
def test_a_verdict_written_by_the_agent_is_not_believed_and_ends_the_run(
    project: Project, judge: ScriptedServer, key: str
) -> None:
    env = {"OPENAI_API_KEY": key} if key else {}
    write_set(project, judge.url)
    write_agent(project, wrong=True)
    assert run(project, env=env).code == 1
    write_agent(project, FORGE_VERDICTS, wrong=True)
    forged = run(project, env=env)
    assert (forged.code, ".evalkit/cache/verdicts/" in forged.err) == (3, True), forged
    assert "PASS" not in forged.out
    # Nothing of it is left for the next run.
    write_agent(project, wrong=True)
    assert run(project, env=env).code == 1


def test_verdicts_forged_by_an_earlier_step_lack_the_seal(
    project: Project, judge: ScriptedServer
) -> None:
    """A job's earlier steps, and jobs whose cache is restored, run code of the change as well."""
    env = {"OPENAI_API_KEY": KEY}
    write_set(project, judge.url)
    write_agent(project, wrong=True)
    assert run(project, env=env).code == 1
    asked = len(judge.asked)
    for entry in (project.folder / ".evalkit/cache/verdicts").glob("*/*.json"):
        text = entry.read_text().replace('"level":"no"', '"level":"yes"')
        entry.write_text(text.replace('"value":0.0', '"value":1.0'))
    again = run(project, env=env)
    assert (again.code, len(judge.asked) > asked) == (1, True), again
    asked = len(judge.asked)
    assert run(project, env=env).code == 1
    assert len(judge.asked) == asked, "sealed verdicts are used again"


def test_in_ci_nothing_of_earlier_processes_is_believed_without_a_key(
    project: Project, judge: ScriptedServer
) -> None:
    write_set(project, judge.url)
    write_agent(project, wrong=False)
    ci = {"CI": "true"}
    first = run(project, env=ci)
    asked = len(judge.asked)
    second = run(project, env=ci)
    assert (first.code, second.code, len(judge.asked) > asked) == (0, 0, True)
    assert "EVALKIT_STORE_KEY" in " ".join(second.out.split())
    keyed = ci | {"EVALKIT_STORE_KEY": KEY}
    assert run(project, env=keyed).code == 0
    asked = len(judge.asked)
    assert (run(project, env=keyed).code, len(judge.asked)) == (0, asked)


def test_runs_that_share_a_store_do_not_take_each_other_for_forgers(
    project: Project, judge: ScriptedServer
) -> None:
    write_set(project, judge.url, cases=6)
    write_agent(project, wrong=False)
    commands = [
        subprocess.Popen(
            project.command("run", "set.yaml", "--trials", "1", "--run-id", f"r{number}"),
            cwd=project.folder,
            env=project.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(2)
    ]
    outputs = [command.communicate()[0].decode() for command in commands]
    assert [command.returncode for command in commands] == [0, 0], outputs


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        # Files of the run under way.
        ("own = newest(); (own / 'spans.jsonl').write_text('')", "spans.jsonl"),
        ("own = newest(); (own / 'judges.json').write_text('{}')", "judges.json"),
        ("own = newest(); (own / 'run.json').write_text((own / 'run.json').read_text() + ' ')", "run.json"),
        ("own = newest(); (own / 'baseline.jsonl').write_text('{}')", "baseline.jsonl"),
        # Entries of caches, also of those that this run does not use.
        ("put('cache/verdicts/ab/abc.json')", "verdicts/ab/abc.json"),
        ("put('cache/outputs/ab/abc.json')", "outputs/ab/abc.json"),
        ("put('cache/own-files/ab/abc.json')", "own-files/ab/abc.json"),
        # Files of a finished run, and of the next Python process.
        ("path = STORE / 'runs/first/trials.jsonl'; path.write_text(path.read_text())", "trials.jsonl"),
        ("(STORE / 'runs/first/spans.jsonl').write_text('')", "spans.jsonl"),
        ("(ROOT / 'baselines/capital.jsonl').write_text(FORGED)", "baselines/capital.jsonl"),
        ("(ROOT / 'lib/sitecustomize.py').write_text('')", "sitecustomize.py"),
        ("(ROOT / 'lib/evil.pth').write_text('import os')", "evil.pth"),
    ],
)  # fmt: skip
def test_a_file_written_by_the_agent_ends_the_run(
    started: Project, attack: str, named: str
) -> None:
    helper = """
        def newest():
            return max((STORE / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        def put(name):
            (STORE / name).parent.mkdir(parents=True, exist_ok=True)
            (STORE / name).write_text("{}")
        FORGED = (ROOT / "baselines/capital.jsonl").read_text() + " "
    """
    write_agent(started, dedent(helper).strip() + "\n" + attack, wrong=True)
    done = run(started, "--cache", env={"PYTHONPATH": str(started.folder / "lib")})
    assert (done.code, named in done.err) == (3, True), done


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run and a baseline."""
    made = Project(tmp_path_factory.mktemp("recorded"))
    write_set(made)
    write_agent(made, wrong=False)
    made.write("lib/harmless.py", "")
    assert made.evalkit("baseline", "set.yaml", "--trials", "1", "--run-id", "first").code == 0
    return made.folder


@pytest.fixture
def started(recorded: Path, tmp_path: Path) -> Project:
    shutil.copytree(recorded, tmp_path / "started")
    return Project(tmp_path / "started")


def test_a_finished_run_refuses_files_that_it_did_not_write(started: Project) -> None:
    first = started.folder / ".evalkit/runs/first"
    assert started.evalkit("gate", "first").code == 0
    for name in ("spans.jsonl", "baseline.jsonl", "judges.json"):
        (first / name).write_text("")
        done = started.evalkit("gate", "first")
        assert (done.code, name in done.err) == (3, True), done
        (first / name).unlink()


def test_a_resumed_run_believes_only_trials_that_were_sealed(project: Project) -> None:
    """An agent can end evalkit, and so the check at the end of the run."""
    attack = """
        import signal
        (own,) = (STORE / "runs").glob("r*")
        lines = (own / "trials.jsonl").read_text().splitlines()
        if lines:
            forged = json.loads(lines[0].replace("Rome", "Paris"))
            forged["scores"][0].update(value=1.0, passed=True, explanation="")
            rows = [forged | {"case_id": f"c{number}"} for number in range(2)]
            (own / "trials.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
            os.kill(os.getppid(), signal.SIGKILL)
    """
    write_set(project)
    write_agent(project, attack, wrong=True)
    for options, code in ((("--run-id", "r1"), -9), (("--resume",), 3)):
        done = subprocess.run(
            project.command("run", "set.yaml", "--trials", "1", *options),
            cwd=project.folder,
            env=project.environ({"EVALKIT_STORE_KEY": KEY}),
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert b"trials.jsonl:1: not sealed with the key" in done.stderr


def test_a_sealed_run_is_resumed(project: Project) -> None:
    env = {"EVALKIT_STORE_KEY": KEY}
    write_set(project)
    write_agent(
        project,
        'if text == "q1" and (ROOT / "armed").exists(): os.kill(os.getppid(), 9)',
        wrong=False,
    )
    agent = project.folder / "agent.py"
    call = "def answer(text):\n    attack(text)\n"
    source = agent.read_text().replace("def answer(text):\n", call)
    agent.write_text(source.replace("def attack():", "def attack(text):"))
    armed = project.write("armed", "")
    killed = subprocess.run(
        project.command("run", "set.yaml", "--trials", "1"),
        cwd=project.folder,
        env=project.environ(env),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9
    armed.unlink()
    assert [row["case_id"] for row in project.rows()] == ["c0"]
    resumed = run(project, "--resume", env=env)
    assert (resumed.code, len(project.rows())) == (0, 2), resumed
    assert project.evalkit("run", "set.yaml", env={"EVALKIT_STORE_KEY": "short"}).code == 2
    # A finished run is sealed by its summary, which another process could write with new digests.
    assert project.evalkit("gate", "latest", env=env).code == 0
    summary = project.runs()[-1] / "summary.json"
    summary.write_text(summary.read_text().replace('"scored":2', '"scored":3'))
    forged = project.evalkit("gate", "latest", env=env)
    assert (forged.code, "summary.json: not sealed" in forged.err) == (3, True), forged


# --- what a change commits ----------------------------------------------------------------------


@pytest.fixture
def change(started: Project) -> tuple[Project, Git]:
    """A branch off a commit with the set and its baseline."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        options = (*identity, "-c", "protocol.file.allow=always")
        return subprocess.run(
            ["git", *options, *arguments],
            cwd=started.folder, env=started.environ(), capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip

    shutil.move(started.folder / ".evalkit", started.folder.parent / "prepared")
    started.write(".gitignore", "__pycache__/\n")
    git("init", "-q", "-b", "main")
    commit(git, "base")
    git("checkout", "-q", "-b", "change")
    return started, git


CI = {"CI": "true"}


def test_a_store_that_is_a_link_needs_the_command_line_in_ci(change: tuple[Project, Git]) -> None:
    project, git = change
    prepared = project.folder.parent / "prepared"
    (project.folder / ".evalkit").symlink_to(prepared)
    own = run(project)
    assert (own.code, "is a link to" in own.err) == (0, True), own
    refused = run(project, env=CI)
    assert (refused.code, ".evalkit is a link" in refused.err) == (4, True), refused
    assert run(project, "--store", str(prepared), env=CI).code == 0
    elsewhere = project.folder.parent / "elsewhere"
    assert run(project, "--store", str(elsewhere), env=CI).code == 4
    commit(git)
    assert run(project, "--base", "main").code == 4, "committed by the change"


@pytest.mark.parametrize("place", ["runs", "cache", "runs/first", "cache/verdicts/ab"])
def test_a_link_in_the_store_is_refused_in_ci(change: tuple[Project, Git], place: str) -> None:
    project, _ = change
    link = project.folder / ".evalkit" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(project.folder.parent / "prepared/runs")
    refused = run(project, env=CI)
    assert (refused.code, f".evalkit/{place} is a link" in refused.err) == (4, True), refused


def test_a_store_or_a_baseline_of_the_change_is_refused(change: tuple[Project, Git]) -> None:
    project, git = change
    # Files that the change commits to the store.
    project.write(".evalkit/runs/x/run.json", "{}")
    commit(git)
    for options in ((), ("--base", "main")):
        done = run(project, *options, env=CI)
        assert (done.code, ".evalkit/runs/x/run.json" in done.out + done.err) == (4, True), done
    git("reset", "-q", "--hard", "main")
    shutil.rmtree(project.folder / ".evalkit", ignore_errors=True)
    # A baseline, or its folder, that is a link.
    baselines = project.folder / "baselines"
    shutil.move(baselines, project.folder.parent / "forged")
    baselines.symlink_to(project.folder.parent / "forged")
    commit(git)
    for options in ((), ("--base", "main")):
        done = run(project, *options, env=CI)
        assert (done.code, "baselines is a link" in done.err) == (4, True), done
    baselines.unlink()
    baselines.mkdir()
    (baselines / "capital.jsonl").symlink_to(project.folder.parent / "forged/capital.jsonl")
    done = run(project, env=CI)
    assert (done.code, "capital.jsonl is a link" in done.err) == (4, True), done


@pytest.mark.parametrize("place", [".evalkit", "baselines"])
def test_a_submodule_is_refused(change: tuple[Project, Git], place: str) -> None:
    project, git = change
    forged = project.folder.parent / "forged"
    git("rm", "-rq", "--ignore-unmatch", place)
    shutil.copytree(project.folder.parent / "prepared", forged)
    for arguments in (["init", "-q"], ["add", "-f", "-A"], ["commit", "-qm", "x"]):
        git("-C", str(forged), *arguments)
    git("submodule", "add", "-q", "-f", str(forged), place)
    commit(git)
    for options in ((), ("--base", "main")):
        done = run(project, *options, env=CI)
        assert (done.code, f"{place} is a git submodule" in done.err) == (4, True), done


def test_a_set_in_a_submodule_is_refused_in_ci(change: tuple[Project, Git]) -> None:
    project, git = change
    outer = Project(project.folder.parent / "outer")
    outer.folder.mkdir()
    git("-C", str(outer.folder), "init", "-q")
    git("-C", str(outer.folder), "submodule", "add", "-q", str(project.folder), "sets")
    done = outer.evalkit("run", "sets/set.yaml", "--trials", "1", env=CI)
    assert (done.code, "sets is a git submodule" in done.err) == (4, True), done
    inside = Project(outer.folder / "sets")
    assert run(inside, env=CI).code == 0


def test_a_link_to_baselines_that_the_base_has_is_followed(change: tuple[Project, Git]) -> None:
    project, git = change
    git("checkout", "-q", "main")
    shutil.move(project.folder / "baselines", project.folder / "shared")
    (project.folder / "baselines").symlink_to("shared")
    commit(git)
    git("checkout", "-q", "-b", "later")
    assert run(project, "--base", "main", env=CI).code == 0


def test_a_set_behind_a_link_out_of_the_checkout_is_refused_in_ci(
    change: tuple[Project, Git],
) -> None:
    project, _ = change
    outside = project.folder.parent / "outside"
    shutil.copytree(project.folder, outside, ignore=shutil.ignore_patterns(".git"))
    (outside / ".evalkit").mkdir()
    (project.folder / "sets").symlink_to(outside)
    done = project.evalkit("run", "sets/set.yaml", "--trials", "1", env=CI)
    assert (done.code, "outside of the checkout" in done.err) == (4, True), done


@pytest.mark.parametrize(
    ("place", "attack"),
    [
        ("baselines/capital.jsonl", "os.utime(path)"),
        # A folder that is moved away and back has the same files as before.
        ("baselines", "os.rename(path, path + '.x'); os.rename(path + '.x', path)"),
        ("", "os.rename(path, path + '.x'); os.rename(path + '.x', path)"),
    ],
)
def test_the_files_of_the_base_cannot_be_replaced_during_the_run(
    change: tuple[Project, Git], place: str, attack: str
) -> None:
    project, _ = change
    attack = f"""
        import glob, tempfile
        for path in glob.glob(tempfile.gettempdir() + "/evalkit-base-*/tree/{place}"):
            path = path.rstrip("/")
            {attack}
    """
    write_agent(project, attack, wrong=True)
    temporary = project.folder.parent / "tmp"
    temporary.mkdir()
    done = run(project, "--base", "main", env={"TMPDIR": str(temporary)})
    assert (done.code, "it is a file of the base" in done.err) == (3, True), done


# --- time, and what Python runs at its start ----------------------------------------------------


def test_the_time_of_an_agent_is_measured_outside_of_its_process(project: Project) -> None:
    project.write(
        "agent.py",
        """
        import time
        import evalkit.worker.servers as servers

        real = time.perf_counter
        servers.perf_counter = lambda: 0.0

        def answer(text):
            time.sleep(0.3)
            yield "ONE"
        """,
    )
    project.write(
        "set.yaml",
        """
        agent: {python: ./agent.py:answer}
        metrics: [latency_s, time_to_first_token_s]
        gate: [{metric: latency_s, max: 0.2, test: point}]
        cases: [{id: one, input: one}]
        """,
    )
    assert run(project).code == 1
    (row,) = project.rows()
    assert row["output"]["latency_s"] >= row["output"]["first_token_s"] >= 0.3


def test_what_python_runs_at_its_start_is_said(project: Project, git: Git) -> None:
    project.write("lib/sitecustomize.py", "")
    done = project.evalkit("run", "echo.yaml", env={"PYTHONPATH": "lib"})
    assert done.code == 0
    assert "PYTHONPATH has entries that are not absolute ('lib')" in done.err
    assert "lib/sitecustomize.py is in the checkout" in done.err
    assert "warning" not in project.evalkit("run", "echo.yaml").err


def test_modules_of_the_current_folder_do_not_replace_those_of_evalkit(project: Project) -> None:
    for name in ("json", "yaml", "msgspec", "typer", "numpy", "secrets"):
        project.write(f"{name}.py", f"raise SystemExit('{name} of the checkout was imported')")
    assert project.evalkit("run", "echo.yaml").code == 0
