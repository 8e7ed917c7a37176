"""A command as an agent: real processes that behave, misbehave and try to get away."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from evalkit.agents.registry import check_agent, open_agent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import Usage
from evalkit.core.trial import AgentError, Output, Request
from evalkit.worker.process_tree import kill_marked_processes

ENVIRON = {
    "PATH": os.environ["PATH"],
    "LANG": "C.UTF-8",
    "OPENAI_API_KEY": "s3cret-key",
    "GITHUB_TOKEN": "s3cret-token",
    "GITHUB_OUTPUT": "/dev/null",
    "EVALKIT_JUDGE_KEY": "s3cret-judge",
}


def request_of(
    text: str = "Where is my order?",
    *,
    timeout_s: float = 10.0,
    metadata: Mapping[str, Any] | None = None,
    messages: Sequence[Turn] = (),
) -> Request:
    return Request(
        case_id="c/1",
        trial=2,
        text=text,
        messages=tuple(messages) or (Turn(role="user", content=text),),
        metadata=metadata or {},
        timeout_s=timeout_s,
        seed=7,
        is_conversation=bool(messages),
    )


class Bench:
    """A folder with scripts in it, and agents that run them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_id = uuid.uuid4().hex
        self.surroundings = RunEnvironment(
            root=folder, set_folder=folder, environ=ENVIRON, run_id=self.run_id
        )

    def script(self, code: str, name: str = "agent.py") -> list[str]:
        """Write a Python script; the command that runs it."""
        (self.folder / name).write_text(dedent(code))
        return [sys.executable, "-IS", name]

    def answers(self, args: Mapping[str, Any], *requests: Request) -> list[Output]:
        """What the agent answers, all requests at once."""

        async def ask_all() -> list[Output]:
            spec = AgentSpec(kind="command", args=args)
            async with open_agent(spec, self.surroundings) as agent:
                return await asyncio.gather(*map(agent.answer, requests))

        return asyncio.run(ask_all())

    def answer(self, args: Mapping[str, Any], request: Request | None = None) -> Output:
        return self.answers(args, request or request_of())[0]

    def error(self, args: Mapping[str, Any], request: Request | None = None) -> AgentError:
        output = self.answer(args, request)
        assert output.error is not None, output
        assert output.text == ""
        return output.error

    def problems(self, args: Mapping[str, Any], *cases: Case, **spec: Any) -> list[str]:
        made = AgentSpec(kind="command", args=args, **spec)
        return [problem.message for problem in check_agent(made, cases, self.surroundings)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool], within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


# What goes in and what comes out


def test_the_question_goes_in_as_json_and_stdout_is_the_answer(bench: Bench) -> None:
    output = bench.answer({"argv": ["cat"]}, request_of("Hi é 😀", metadata={"vip": True}))
    assert output.error is None
    assert output.latency_s > 0
    assert json.loads(output.text) == {
        "input": "Hi é 😀",
        "messages": [{"role": "user", "content": "Hi é 😀"}],
        "case": {"id": "c/1", "metadata": {"vip": True}},
        "trial": 2,
        "seed": 7,
    }


def test_a_conversation_goes_in_as_its_messages(bench: Bench) -> None:
    turns = (Turn(role="system", content="Be kind"), Turn(role="user", content="Hi"))
    asked = json.loads(bench.answer({"argv": ["cat"]}, request_of("Hi", messages=turns)).text)
    messages = [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}]
    assert asked["input"] == asked["messages"] == messages


def test_a_list_in_place_of_a_mapping_is_the_command(bench: Bench) -> None:
    assert bench.answer({"": ["echo", "{input}"]}).text == "Where is my order?"


def test_a_placeholder_is_one_argument_whatever_is_in_it(bench: Bench) -> None:
    argv = bench.script("import sys, json; print(json.dumps(sys.argv[1:]))")
    nasty = '; rm -rf "$HOME" `id` $(id) * {trial} {{x}} --help\n\'é 😀'
    request = request_of(nasty, metadata={"user": {"name": "--evil x"}})
    output = bench.answer(
        {"argv": [*argv, "{input}", "{metadata.user.name}", "n={trial}"]}, request
    )
    assert json.loads(output.text) == [nasty, "--evil x", "n=2"]


def test_with_a_placeholder_nothing_is_sent_on_stdin_unless_asked_for(bench: Bench) -> None:
    argv = bench.script("import sys; print(sys.argv[1], repr(sys.stdin.read()))")
    assert bench.answer({"argv": [*argv, "{trial}"]}).text == "2 ''"
    text = bench.answer({"argv": [*argv, "{trial}"], "stdin": "text"}).text
    assert text == "2 'Where is my order?'"


def test_a_mapping_on_stdout_is_read_when_asked_for(bench: Bench) -> None:
    argv = bench.script(
        """
        import json
        print(json.dumps({
            "output": "42", "data": {"n": 42}, "cost_usd": 0.5,
            "usage": {"input_tokens": 3, "output_tokens": 4},
            "tool_calls": [{"name": "add", "arguments": {"a": 1}}],
        }))
        """
    )
    output = bench.answer({"argv": argv, "stdout": "json"})
    assert output.error is None
    assert (output.text, output.data, output.cost_usd) == ("42", {"n": 42}, 0.5)
    assert output.usage is not None
    assert output.usage.output_tokens == 4
    assert output.tool_calls[0].name == "add"


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("hello", "invalid JSON"),
        ("[1]", "list"),
        ('{"ouput": "x"}', "'output'"),
        ('{"output": NaN}', "finite"),
        ('{"output": "a"} {"output": "b"}', "invalid JSON"),
        ("[" * 100_000, "nested"),
        ("<html><body>Error</body></html>", "HTML"),
    ],
)
def test_json_that_is_no_reply_is_an_error_that_says_so(
    bench: Bench, printed: str, words: str
) -> None:
    (bench.folder / "reply").write_text(printed)
    error = bench.error({"argv": ["cat", "reply"], "stdin": "none", "stdout": "json"})
    assert error.kind == "bad_reply"
    assert words in error.message
    assert not error.retryable


def test_json_with_forged_scores_is_just_text(bench: Bench) -> None:
    forged = '{"score": 1.0, "passed": true, "error": null}'
    output = bench.answer({"argv": ["echo", "{input}"]}, request_of(forged))
    assert output == Output(text=forged, latency_s=output.latency_s)


@pytest.mark.parametrize("stdout", ["text", "json"])
def test_nothing_printed_is_an_empty_answer_and_no_error(bench: Bench, stdout: str) -> None:
    output = bench.answer({"argv": ["true"], "stdout": stdout})
    assert output.error is None
    assert output.text == ""


@pytest.mark.parametrize(
    ("printed", "text"),
    [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("a\nb\n", "a\nb")],
)
def test_the_newline_that_ends_the_output_is_no_part_of_the_answer(
    bench: Bench, printed: str, text: str
) -> None:
    assert bench.answer({"argv": ["printf", "%s", "{input}"]}, request_of(printed)).text == text


def test_invalid_utf8_is_replaced_and_flagged(bench: Bench) -> None:
    output = bench.answer({"argv": ["printf", r"caf\351!"]})
    assert output.text == "caf\ufffd!"
    assert output.flags == ("decoded_with_replacement",)
    assert output.error is None


@pytest.mark.parametrize("how", ["json", "text", "none"])
@pytest.mark.parametrize("text", ["\u202eabc\u0301", "👩‍👩‍👧", "\ud83d alone", "a\r\nb\t", "'\"\\"])
def test_every_character_reaches_the_agent(bench: Bench, how: str, text: str) -> None:
    argv = bench.script("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())")
    if how == "none":
        argv = bench.script("import os, sys; sys.stdout.buffer.write(os.fsencode(sys.argv[1]))")
        argv.append("{input}")
    output = bench.answer({"argv": argv, "stdin": how}, request_of(text))
    if how == "json":
        assert json.loads(output.text)["input"] == text
    else:
        wanted = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        assert output.text == wanted


# What the agent may see


def test_secrets_are_not_in_its_environment_and_its_call_is(bench: Bench) -> None:
    seen = dict(line.split("=", 1) for line in bench.answer({"argv": ["env"]}).text.splitlines())
    assert not {name for name, value in seen.items() if "s3cret" in value}
    assert "GITHUB_OUTPUT" not in seen
    assert seen["PATH"] == ENVIRON["PATH"]
    assert seen["EVALKIT_CALL"] == f"{bench.run_id}/agent/c%2F1/2"


def test_a_variable_asked_for_by_name_is_passed_on(bench: Bench) -> None:
    async def ask() -> Output:
        spec = AgentSpec(kind="command", args={"argv": ["env"]}, env=("OPENAI_API_KEY",))
        async with open_agent(spec, bench.surroundings) as agent:
            return await agent.answer(request_of())

    assert "OPENAI_API_KEY=s3cret-key" in asyncio.run(ask()).text
    assert "UNSET_NAME" in bench.problems({"argv": ["env"]}, env=("UNSET_NAME",))[0]


def test_it_runs_in_the_sets_folder_or_where_cwd_says(bench: Bench) -> None:
    (bench.folder / "sub").mkdir()
    assert bench.answer({"argv": ["pwd"]}).text == str(bench.folder)
    assert bench.answer({"argv": ["pwd"], "cwd": "sub"}).text == str(bench.folder / "sub")


def test_its_program_may_be_a_script_beside_the_set(bench: Bench) -> None:
    script = bench.folder / "my agent.sh"
    script.write_text("#!/bin/sh\necho from a script\n")
    assert "chmod +x" in bench.problems({"argv": ["./my agent.sh"]})[0]
    script.chmod(0o755)
    assert bench.answer({"argv": ["./my agent.sh"]}).text == "from a script"


# What is wrong before any call


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"argv": ["no-such-program-here"]}, ["no program 'no-such-program-here' in PATH"]),
        ({"argv": ["./missing.sh"]}, ["there is no program", "missing.sh"]),
        ({"argv": []}, ["'argv' is empty"]),
        ({"argv": [""]}, ["no program ''"]),
        ({"argv": ["echo"], "cwd": "nowhere"}, ["'nowhere'", "does not exist"]),
        ({"argv": ["{input}"]}, ["is not a program"]),
        ({"argv": ["echo", "{inptu}"]}, ["'{inptu}'", "Did you mean '{input}'?"]),
        ({"argv": ["echo", '{"q": 1}']}, ["unknown placeholder", "'{{'"]),
        ({"": "python 'my agent.py' -v"}, ['Write: command: ["python", "my agent.py", "-v"]']),
        ({"argv": "echo 'unclosed"}, ['["echo", "\'unclosed"]']),
    ],
)
def test_what_cannot_run_is_refused_before_any_call(
    bench: Bench, args: dict[str, Any], words: list[str]
) -> None:
    [message] = bench.problems(args)
    for word in words:
        assert word in message
    with pytest.raises(InvalidInput):
        bench.answer(args)


def test_what_a_case_does_not_give_is_told_with_the_cases_that_lack_it(bench: Bench) -> None:
    cases = [
        Case(id="has", input="x", metadata={"user": {"name": "Ann"}}),
        Case(id="lacks", input="x", metadata={"user": {}}),
        *(Case(id=f"also{n}", input="x") for n in range(6)),
    ]
    [message] = bench.problems({"argv": ["echo", "{metadata.user.name}", "{input}"]}, *cases)
    assert "'{metadata.user.name}'" in message
    assert "'lacks', 'also0', 'also1', 'also2', 'also3' and 2 more" in message
    assert "'has'" not in message


# Bad ends


def test_an_exit_status_is_an_error_with_the_tail_of_stderr(bench: Bench) -> None:
    argv = bench.script(
        """
        import sys
        print("half an answer")
        sys.stderr.write("x" * 5000 + "\\n\\x1b[31mno such \\xe9 order\\n")
        sys.exit(3)
        """
    )
    error = bench.error({"argv": argv})
    assert error.kind == "exit_status"
    assert error.message == "exit status 3: no such \xe9 order"
    assert "order" in error.detail
    assert "\x1b" not in error.detail
    assert len(error.detail) <= 2_000
    assert not error.retryable


def test_a_crash_names_its_error_and_keeps_the_rest(bench: Bench) -> None:
    stack = "    at next (node:internal/x:1:1)\\n" * 9
    argv = bench.script(
        f"""
        import sys
        sys.stderr.write("TypeError: x is not a function\\n{stack}\\nNode.js v22.1.0\\n\\n")
        sys.exit(1)
        """
    )
    error = bench.error({"argv": argv})
    assert error.message == "exit status 1: TypeError: x is not a function"
    assert "at next" in error.detail
    error = bench.error({"argv": bench.script("print('Error: no key'); raise SystemExit(2)")})
    assert error.message == "exit status 2: Error: no key"
    assert bench.error({"argv": ["false"]}).message == "exit status 1."
    error = bench.error({"argv": ["sh", "-c", "echo FATAL ERROR: heap >&2; kill -9 $$"]})
    assert error.message == "killed by SIGKILL: FATAL ERROR: heap"


def test_a_death_by_signal_is_told_by_its_name(bench: Bench) -> None:
    error = bench.error({"argv": bench.script("import os; os.kill(os.getpid(), 11)")})
    assert error.kind == "crashed"
    assert "SIGSEGV" in error.message


def test_a_hung_agent_is_killed_at_its_deadline(bench: Bench) -> None:
    argv = bench.script(
        """
        import os, sys, time
        open("pid", "w").write(str(os.getpid()))
        sys.stderr.write("thinking...")
        sys.stderr.flush()
        time.sleep(60)
        """
    )
    started = time.monotonic()
    error = bench.error({"argv": argv}, request_of(timeout_s=0.5))
    assert 0.5 <= time.monotonic() - started < 1.5
    assert error.kind == "timeout"
    assert "0.5 s" in error.message
    assert error.detail == "thinking..."
    assert not error.retryable
    assert not is_alive(int((bench.folder / "pid").read_text()))


def test_an_agent_that_ignores_sigterm_is_killed_all_the_same(bench: Bench) -> None:
    argv = bench.script(
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("pid", "w").write(str(os.getpid()))
        while True:
            time.sleep(60)
        """
    )
    started = time.monotonic()
    assert bench.error({"argv": argv}, request_of(timeout_s=0.4)).kind == "timeout"
    assert time.monotonic() - started < 2.4
    assert not is_alive(int((bench.folder / "pid").read_text()))


FAMILY = """
    import os, signal, sys, time
    def note(name):
        with open(name + ".tmp", "w") as file:
            file.write(str(os.getpid()))
        os.rename(name + ".tmp", name)
    def live(name):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note(name)
        time.sleep(60)
        os._exit(0)
    if os.fork() == 0:
        live("child")
    if os.fork() == 0:
        os.setsid()
        live("setsid")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            live("daemon")
        os._exit(0)
    while not all(map(os.path.exists, ["child", "setsid", "daemon"])):
        time.sleep(0.01)
"""


def family_pids(bench: Bench) -> list[int]:
    return [int((bench.folder / name).read_text()) for name in ("child", "setsid", "daemon")]


def test_a_timeout_kills_the_whole_tree_sessions_of_their_own_included(bench: Bench) -> None:
    argv = bench.script(FAMILY + "    time.sleep(60)\n")
    started = time.monotonic()
    error = bench.error({"argv": argv}, request_of(timeout_s=1.0))
    assert time.monotonic() - started < 3.0
    assert error.kind == "timeout"
    assert wait_for(lambda: not any(map(is_alive, family_pids(bench))))


def test_an_agent_that_exits_leaves_nobody_behind_and_does_not_block(bench: Bench) -> None:
    """Its children hold stdout open; one in its session, two that left it."""
    argv = bench.script(FAMILY + "    print('done')\n")
    started = time.monotonic()
    output = bench.answer({"argv": argv})
    assert time.monotonic() - started < 4.0
    assert output.error is None
    assert output.text == "done"
    assert output.latency_s < 2.0
    assert wait_for(lambda: not any(map(is_alive, family_pids(bench))))


def test_a_daemon_that_closed_its_pipes_is_dead_when_the_run_ends(bench: Bench) -> None:
    closing = FAMILY.replace(
        "        note(name)\n", "        note(name)\n        os.closerange(0, 3)\n"
    )
    output = bench.answer({"argv": bench.script(closing + "    print('done')\n")})
    assert output.text == "done"
    assert wait_for(lambda: not any(map(is_alive, family_pids(bench))))


def test_a_call_that_is_cancelled_leaves_nobody_behind(bench: Bench) -> None:
    argv = bench.script(FAMILY + "    time.sleep(60)\n")

    async def cancel_it() -> None:
        spec = AgentSpec(kind="command", args={"argv": argv})
        async with open_agent(spec, bench.surroundings) as agent:
            task = asyncio.ensure_future(agent.answer(request_of()))
            await asyncio.to_thread(wait_for, (bench.folder / "daemon").exists)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel_it())
    assert wait_for(lambda: not any(map(is_alive, family_pids(bench))))


def test_a_flood_on_stdout_is_stopped_at_the_cap_in_bounded_memory(bench: Bench) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = bench.answer({"argv": ["yes", "{input}"]}, request_of("spam " * 20))
    assert output.error is not None
    assert output.error.kind == "output_too_large"
    assert "10,000,000 bytes" in output.error.message
    assert output.text == ""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_just_under_the_cap_is_a_whole_answer(bench: Bench) -> None:
    output = bench.answer({"argv": ["head", "-c", "10000000", "/dev/zero"]})
    assert output.error is None
    assert len(output.text) == 10_000_000


def test_a_flood_on_stderr_is_drained(bench: Bench) -> None:
    argv = bench.script(
        """
        import sys
        for _ in range(200):
            sys.stderr.write("x" * 100_000)
        print("done")
        """
    )
    assert bench.answer({"argv": argv}).text == "done"


@pytest.mark.parametrize("code", ["print('done')", "import sys; sys.stdin.close(); print('done')"])
def test_a_question_that_is_not_read_is_no_deadlock(bench: Bench, code: str) -> None:
    output = bench.answer({"argv": bench.script(code)}, request_of("x" * 5_000_000))
    assert output.error is None
    assert output.text == "done"


def test_a_long_question_is_read_whole(bench: Bench) -> None:
    text = "x" * 5_000_000
    assert bench.answer({"argv": ["cat"], "stdin": "text"}, request_of(text)).text == text


@pytest.mark.parametrize(
    ("text", "words"), [("a\0b", "NUL"), ("x" * 3_000_000, "too long")], ids=["nul", "too long"]
)
def test_what_no_command_line_holds_is_an_error_of_that_case_only(
    bench: Bench, text: str, words: str
) -> None:
    bad, good = bench.answers({"argv": ["echo", "{input}"]}, request_of(text), request_of("fine"))
    assert bad.error is not None
    assert bad.error.kind == "bad_request"
    assert words in bad.error.message
    assert not bad.error.retryable
    assert good.text == "fine"


def test_a_program_that_vanishes_during_the_run_is_an_error(bench: Bench) -> None:
    program = bench.folder / "agent"
    shutil.copy("/bin/echo", program)

    async def ask() -> Output:
        spec = AgentSpec(kind="command", args={"argv": ["./agent", "hi"]})
        async with open_agent(spec, bench.surroundings) as agent:
            program.unlink()
            return await agent.answer(request_of())

    error = asyncio.run(ask()).error
    assert error is not None
    assert error.kind == "not_started"
    assert not error.retryable


def test_being_out_of_file_descriptors_is_worth_another_attempt(bench: Bench) -> None:
    async def ask() -> Output:
        spec = AgentSpec(kind="command", args={"argv": ["true"]})
        async with open_agent(spec, bench.surroundings) as agent:
            held = []
            try:
                while True:
                    held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                return await agent.answer(request_of())
            finally:
                for descriptor in held:
                    os.close(descriptor)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        error = asyncio.run(ask()).error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error is not None
    assert error.kind == "not_started"
    assert error.retryable


def test_many_calls_at_once_keep_their_answers_apart_and_leave_nothing_open(bench: Bench) -> None:
    before = psutil.Process().num_fds()
    requests = [request_of(f"question {n}") for n in range(40)]
    outputs = bench.answers({"argv": ["echo", "{input}"]}, *requests)
    assert [output.text for output in outputs] == [request.text for request in requests]
    assert psutil.Process().num_fds() == before
    assert kill_marked_processes(f"{bench.run_id}/agent") == 0


def test_what_a_model_api_returned_may_be_printed_as_it_is(bench: Bench) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"n": 1}'}}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    message = {"role": "assistant", "content": "Soon.", "tool_calls": [call]}
    whole = {"choices": [{"message": message, "finish_reason": "length"}], "usage": usage}
    for value in (whole, {"output": "Soon.", "usage": usage, "tool_calls": [call]}):
        argv = bench.script(f"print({json.dumps(value)!r})")
        [output] = bench.answers({"argv": argv, "stdout": "json"}, request_of())
        assert (output.error, output.text) == (None, "Soon.")
        assert output.usage == Usage(input_tokens=3, output_tokens=4)
        assert [(each.name, each.arguments) for each in output.tool_calls] == [("find", {"n": 1})]
