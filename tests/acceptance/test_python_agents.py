"""Python agents as people write them for their own scripts, run by the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Project

STATEFUL = """
    import asyncio, contextvars, os, signal, threading, time

    LOG = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    USER = contextvars.ContextVar("USER", default=None)


    class Client:
        "A client as frameworks share it between calls: it serves the loop that used it first."

        def __init__(self):
            self.loop = None

        async def ask(self, question):
            self.loop = self.loop or asyncio.get_running_loop()
            if self.loop is not asyncio.get_running_loop():
                raise RuntimeError("bound to a different event loop")
            await asyncio.sleep(0.05)
            return question


    class Agent:
        def __init__(self):
            self.client = Client()
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

        def __call__(self, prompt, context):
            os.write(LOG, f"{context['case_id']} {context['trial']}\\n".encode())
            self.current = prompt
            if USER.get() is not None:
                raise RuntimeError(f"still in the context of {USER.get()!r}")
            USER.set(prompt)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            answer = asyncio.get_event_loop().run_until_complete(self.client.ask(self.current))
            if prompt == "crash":
                time.sleep(0.1)
                os._exit(3)
            if prompt == "hang":
                time.sleep(60)
            time.sleep(0.1)
            signal.alarm(0)
            return self.current if answer == prompt else "another call's answer"
"""


def test_a_sync_agent_with_state_and_its_own_loop_keeps_every_call_apart(project: Project) -> None:
    project.write("agent.py", STATEFUL)
    prompts = {f"c{number}": f"question {number}" for number in range(16)}
    prompts |= {"c3": "crash", "c9": "hang", "c12": "crash"}
    rows = [
        f'  - {{id: {name}, input: "{text}", expected: "{text}"}}' for name, text in prompts.items()
    ]
    project.write(
        "set.yaml",
        "agent: {python: ./agent.py:Agent, timeout_s: 2}\nconcurrency: 6\nmax_errors: 20\n"
        "gate: [{metric: exact_match, min: 0.1}]\ncases:\n" + "\n".join(rows) + "\n",
    )
    done = project.evalkit("run", "set.yaml", "--trials", "2")
    assert done.code == 0, done
    kinds = {"c3": "crashed", "c9": "timeout", "c12": "crashed"}
    assert errors_of(project) == {
        (name, number): kinds[name] for name in kinds for number in (0, 1)
    }
    assert all(row["output"]["text"] == prompts[row["case_id"]] for row in answered(project))
    calls = (project.folder / "calls.log").read_text().splitlines()
    assert sorted(calls) == sorted(f"{name} {number}" for name in prompts for number in range(2))


def errors_of(project: Project) -> dict[tuple[str, int], str]:
    """The kind of error of each trial that has one."""
    return {
        (row["case_id"], row["number"]): row["output"]["error"]["kind"]
        for row in project.rows()
        if "error" in row["output"]
    }


def answered(project: Project) -> list[dict[str, Any]]:
    return [row for row in project.rows() if "error" not in row["output"]]


ASYNC = """
    import asyncio, os

    LOG = os.open("calls.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def answer(prompt):
        os.write(LOG, f"{prompt}\\n".encode())
        await asyncio.sleep(0.1 if prompt == "crash" else 0.3)
        if prompt == "crash":
            os._exit(3)
        return prompt
"""


@pytest.mark.parametrize("attempts", [1, 2])
def test_calls_lost_beside_a_crash_are_repeated_once_and_only_if_attempts_allow(
    project: Project, attempts: int
) -> None:
    project.write("agent.py", ASYNC)
    prompts = ["right", "crash", "right", "right"] * 3
    rows = [f"  - {{id: c{n}, input: {text}, expected: right}}" for n, text in enumerate(prompts)]
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer, attempts: {attempts}}}\nconcurrency: 4\n"
        "max_errors: 12\ngate: [{metric: exact_match, min: 0.1}]\ncases:\n" + "\n".join(rows),
    )
    done = project.evalkit("run", "set.yaml", "--trials", "1")
    assert done.code == 0, done
    # The first crash hits a process that all four calls share, and later ones hit nobody else.
    shared = {"c0", "c2", "c3"} if attempts == 1 else set()
    assert {name for name, _ in errors_of(project)} == {"c1", "c5", "c9", *shared}
    calls = (project.folder / "calls.log").read_text().split()
    assert len(calls) == len(prompts) + (0 if attempts == 1 else 4)
    if attempts == 1:
        assert "any of them may be the cause" in done.out
