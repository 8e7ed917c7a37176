"""What a cached answer of a Python agent covers: an edit of anything it followed from asks again."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from pathlib import Path
from textwrap import dedent

import pytest

from evalkit.agents.cached_agent import CachingAgent, KeptAnswers, compute_agent_key
from evalkit.agents.inputs import InputVerifier
from evalkit.agents.registry import open_agent
from evalkit.core.eval_set import AgentSpec, Turn
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import CACHED
from evalkit.core.trial import Output, Request
from evalkit.store.cache import Cache

SPEC = AgentSpec(kind="python", args={"": "./agent.py:answer"})


def _keep(output: Output) -> Output:
    return output


class Lab:
    """A project with an agent, asked through the cache as a run asks it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        self.warnings: dict[str, str] = {}

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def ask(self, *texts: str, spec: AgentSpec = SPEC, **environ: str) -> list[Output]:
        """Run the agent in a new process; ask it one request after the other."""
        environment = RunEnvironment(
            root=self.root,
            set_folder=self.root,
            environ={**os.environ, **environ},
            records_inputs=True,
        )
        cache = Cache(self.root / ".evalkit" / "cache", KeptAnswers)
        key = compute_agent_key(spec, "", environment.environ)

        async def run() -> list[Output]:
            async with open_agent(spec, environment) as agent:
                caching = CachingAgent(agent, cache, key, InputVerifier(self.root), redact=_keep)
                return [await caching.answer(request_of(text)) for text in texts or ("q",)]

        outputs = asyncio.run(run())
        self.warnings = cache.warnings
        return outputs

    def is_kept(self, **environ: str) -> bool:
        """Whether the answer comes from the cache."""
        return CACHED in self.ask(spec=SPEC, **environ)[0].flags


def request_of(text: str) -> Request:
    turns = (Turn(role="user", content=text),)
    return Request(case_id="c", trial=0, text=text, messages=turns, metadata={}, timeout_s=20.0)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


DEFAULT = "\ndef answer(text):\n    return text\n"

READER = """
    import functools, json, os, pathlib, subprocess, sys, threading

    import helper
    import pkg.sub
    from prompts.system import TONE

    try:
        import local_settings
    except ImportError:
        pass

    HERE = pathlib.Path(__file__).parent
    STYLE = (HERE / "style.md").exists() or os.path.isfile("style.txt")
    DATA = json.loads((HERE / "data.json").read_text())
    OLD = functools.cache(lambda: open("memory.txt").read())
    OLD()

    def read_in_thread():
        open("thread.txt").read()

    def answer(text):
        from prompts.late import TONE as late

        try:
            open("missing.txt")
        except OSError:
            pass
        thread = threading.Thread(target=read_in_thread)
        thread.start()
        thread.join()
        os.read(os.open("descriptor.txt", os.O_RDONLY), 9)
        os.access("access.txt", os.R_OK), os.path.lexists("lexists.txt"), os.path.exists("flag.txt")
        os.path.realpath("current"), os.path.isdir("plugins")
        tool = subprocess.check_output([sys.executable, "tool.py"], text=True)
        names = sorted(path.name for path in (HERE / "docs").glob("*"))
        return OLD() + open("facts.txt").read() + open(".env").read() + open("../common.txt").read()
"""

READ_FILES = {
    "src/helper.py": "", "pkg/__init__.py": "", "pkg/sub.py": "", "prompts/system.py": "TONE = 1",
    "prompts/late.py": "TONE = 1", "data.json": "[1]", "memory.txt": "1", "thread.txt": "1",
    "descriptor.txt": "1", "tool.py": "print(1)", "docs/a.md": "", "facts.txt": "1", ".env": "K=1",
    "../common.txt": "1", ".gitignore": ".env", "flag.txt": "1",
}  # fmt: skip

EDITS = {
    "a module": ("prompts/system.py", "TONE = 2"),
    "a module that a call imports": ("prompts/late.py", "TONE = 2"),
    "a package": ("pkg/__init__.py", "1"),
    "a file that an import reads": ("data.json", "[2]"),
    "a file that only the first call reads": ("memory.txt", "2"),
    "a file that a call reads": ("facts.txt", "2"),
    "a file that git ignores": (".env", "K=2"),
    "a file outside of the project": ("../common.txt", "2"),
    "a file that a thread reads": ("thread.txt", "2"),
    "a file without a file object": ("descriptor.txt", "2"),
    "a script in a process": ("tool.py", "print(2)"),
    "a file that was missing": ("missing.txt", "1"),
    "a file that only its existence is asked for": ("style.txt", ""),
    "a file that is only accessed": ("access.txt", ""),
    "a file that is not followed": ("lexists.txt", ""),
    "the size of a file": ("flag.txt", "22"),
    "a folder that was missing": ("plugins/a.txt", ""),
    "a link": ("current", "docs"),
    "a module that was missing": ("local_settings.py", "1"),
    "a module that hides another": ("helper.py", "1"),
    "a new file in a folder that is listed": ("docs/b.md", ""),
}


@pytest.mark.slow
def test_an_edit_of_anything_that_the_agent_reads_asks_again(lab: Lab) -> None:
    lab.write("agent.py", READER)
    for name, text in READ_FILES.items():
        lab.write(name, text)
    (lab.root / "current").symlink_to("prompts")
    lab.ask()
    lab.write("unrelated.txt", "a")
    lab.write("unrelated.py", "a")
    assert lab.is_kept()
    seen = {}
    for edit, (name, text) in EDITS.items():
        if edit == "a link":
            (lab.root / name).unlink()
            (lab.root / name).symlink_to(text)
        else:
            lab.write(name, text)
        seen[edit] = (lab.is_kept(), lab.is_kept())
    assert seen == dict.fromkeys(EDITS, (False, True))


def test_an_edit_that_is_undone_finds_the_older_answer(lab: Lab) -> None:
    lab.write("agent.py", "from prompts import TONE\ndef answer(text): return TONE")
    for tone, is_kept in [("kind", False), ("rude", False), ("kind", True), ("rude", True)]:
        lab.write("prompts.py", f"TONE = {tone!r}")
        [output] = lab.ask()
        assert (output.text, CACHED in output.flags) == (tone, is_kept)


def test_a_later_call_depends_on_what_its_process_read_before(lab: Lab) -> None:
    lab.write(
        "agent.py",
        "K = {}\ndef answer(t):\n    return K.setdefault('k', open('f.txt').read() if not K else '') + t\n",
    )
    lab.write("f.txt", "1")
    lab.ask("a", "b")
    assert [CACHED in output.flags for output in lab.ask("a", "b")] == [True, True]
    lab.write("f.txt", "2")
    assert [output.text for output in lab.ask("a", "b")] == ["2a", "2b"]


WRITES = {
    "a log": "import logging\nlogging.basicConfig(filename='x.log')\ndef answer(t):\n    logging.error(t)\n    return t",
    "a report": "import os\ndef answer(t):\n    if os.path.exists('out.txt'): return t\n    assert not os.path.exists('out.txt')\n    open('out.txt', 'w').write(t)\n    return open('out.txt').read()",
    "a temporary file": "import tempfile, pathlib\ndef answer(t):\n    with tempfile.TemporaryDirectory() as d:\n        p = pathlib.Path(d, 'x')\n        p.write_text(t)\n        return p.read_text()",
    "a log in a folder that it lists": "import os\ndef answer(t):\n    os.listdir('.')\n    open('x.log', 'a').write(t)\n    return t",
    "nothing, but it reads a database": "import sqlite3\ndef answer(t):\n    return str(sqlite3.connect('faq.db').execute('select * from faq').fetchall())",
}  # fmt: skip


@pytest.mark.parametrize("case", WRITES)
def test_what_the_agent_writes_is_no_input(lab: Lab, case: str) -> None:
    lab.write("agent.py", WRITES[case])
    with sqlite3.connect(lab.root / "faq.db") as database:
        database.execute("create table faq (text)")
    database.close()
    assert not lab.is_kept()
    assert lab.is_kept()
    assert lab.warnings == {}


STATE = {
    "a counter": "import pathlib\nP = pathlib.Path('state.txt')\ndef answer(t):\n    n = int(P.read_text()) if P.exists() else 0\n    P.write_text(str(n + 1))\n    return str(n)",
    "a counter, replaced": "import os\ndef answer(t):\n    n = int(open('state.txt').read())\n    open('new', 'w').write(str(n + 1))\n    os.replace('new', 'state.txt')\n    return str(n)",
    "a database": "import sqlite3\ndef answer(t):\n    with sqlite3.connect('state.txt.db') as d:\n        d.execute('create table if not exists t (n)')\n        d.execute('insert into t values (1)')\n        return str(d.execute('select count(*) from t').fetchone())",
    "a log that it reads": "def answer(t):\n    open('state.txt', 'a').write(t)\n    return open('state.txt').read()",
}  # fmt: skip


@pytest.mark.parametrize("case", STATE)
def test_the_answer_of_an_agent_with_a_memory_in_files_is_not_kept(lab: Lab, case: str) -> None:
    lab.write("agent.py", STATE[case])
    lab.write("state.txt", "3")
    for _ in range(2):
        assert not lab.is_kept()
    assert "the agent changes what it reads (state.txt" in lab.warnings["inputs"]


def test_what_cannot_be_known_is_named(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        lab.write(
            "agent.py",
            f"""
            import duckdb, os, socket, subprocess

            def answer(text):
                subprocess.run(["true"])
                os.system("true")
                socket.create_connection(("localhost", {port})).close()
                return text
            """,
        )
        lab.write("duckdb.py", "")
        lab.ask()
    [output] = lab.ask()
    assert output.flags == (
        "cached",
        "not_covered: what true reads",
        "not_covered: what a process that it starts reads",
        f"not_covered: changes of localhost:{port}",
        "not_covered: what duckdb opens",
    )


def test_variables_that_the_agent_gets_are_covered(lab: Lab) -> None:
    lab.write("agent.py", DEFAULT)
    spec = AgentSpec(kind="python", args=SPEC.args, env=("TONE",))
    lab.ask(spec=spec, TONE="kind")
    assert CACHED in lab.ask(spec=spec, TONE="kind")[0].flags
    assert CACHED not in lab.ask(spec=spec, TONE="rude")[0].flags
    lab.ask()
    assert lab.is_kept(UNRELATED="1")
    assert not lab.is_kept(PYTHONHASHSEED="1")


def test_recording_breaks_no_agent(lab: Lab) -> None:
    lab.write(
        "agent.py",
        """
        import multiprocessing, os, threading

        def work(queue):
            open("facts.txt").read()
            import colorsys
            queue.put("done")

        def churn():
            for number in range(300):
                open(f"out{number}", "w").close()

        def answer(text):
            threads = [threading.Thread(target=churn) for _ in range(4)]
            for thread in threads:
                thread.start()
            context = multiprocessing.get_context("fork")
            for _ in range(5):
                queue = context.SimpleQueue()
                process = context.Process(target=work, args=(queue,))
                process.start()
                assert queue.get() == "done"
                process.join()
            for thread in threads:
                thread.join()
            for name in ("", "a\\0b", 3, b"x", "\\udcff"):
                try:
                    open(name)
                except (OSError, ValueError):
                    pass
            try:
                os.listdir("nowhere")
            except FileNotFoundError:
                return "fine"
        """,
    )
    lab.write("facts.txt", "1")
    [output] = lab.ask()
    assert output.error is None
    assert output.text == "fine"
