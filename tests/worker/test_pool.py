"""Worker processes against code that does what real agents do, and worse."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import psutil
import pytest

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.worker.pool import TargetSpec, WorkerPool, open_pool
from evalkit.worker.streams import Reply
from tests.support.paths import ROOT

T = TypeVar("T")

PLENTY_S = 20.0


def payload(text: str) -> Json:
    return {
        "text": text,
        "messages": [{"role": "user", "content": text}],
        "case_id": "case",
        "trial": 0,
        "metadata": {},
        "seed": 7,
        "is_conversation": False,
    }


def surroundings_of(folder: Path, concurrency: int = 8, **environ: str) -> RunEnvironment:
    return RunEnvironment(
        root=folder,
        set_folder=folder,
        environ={**os.environ, **environ},
        concurrency=concurrency,
    )


def with_pool(
    folder: Path,
    source: str,
    use: Callable[[WorkerPool], Awaitable[T]],
    *,
    environ: Mapping[str, str] | None = None,
    concurrency: int = 8,
    **options: Any,
) -> T:
    """Write an agent with an entrypoint `answer`, and use a pool of it."""
    (folder / "agent.py").write_text(dedent(source))

    async def run() -> T:
        surroundings = surroundings_of(folder, concurrency, **(environ or {}))
        target = TargetSpec(kind="agent", ref="./agent.py:answer")
        async with open_pool(target, surroundings, **options) as pool:
            return await use(pool)

    return asyncio.run(run())


def ask(
    folder: Path, source: str, texts: Sequence[str], timeout_s: float = PLENTY_S, **options: Any
) -> list[Reply]:
    """Make one call for every text, all at once."""

    async def use(pool: WorkerPool) -> list[Reply]:
        return await asyncio.gather(*(pool.call(payload(text), timeout_s) for text in texts))

    return with_pool(folder, source, use, **options)


def ask_one(folder: Path, source: str, text: str = "x", **options: Any) -> Reply:
    [reply] = ask(folder, source, [text], **options)
    return reply


def kind_of(reply: Reply) -> str:
    return "answered" if reply.error is None else reply.error.kind


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(is_so: Callable[[], bool], seconds: float = PLENTY_S) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def ends_within(pid: int, seconds: float) -> bool:
    return wait_until(lambda: not is_running(pid), seconds)


# What a call can do wrong while others are in flight: it alone is charged.

NONSENSE = """for fd in range(3, 100):
            try: os.write(fd, b"nonsense\\n")
            except OSError: pass
        time.sleep(100)"""

GUILTY = {
    "hangs": ("time.sleep(100)", "timeout"),
    "holds the interpreter": ("ctypes.PyDLL(None).sleep(100)", "timeout"),
    "closes every file": ("os.closerange(3, 1000)", "crashed"),
    "exits": ("os._exit(0)", "crashed"),
    "reads null": ("ctypes.string_at(0)", "crashed"),
    "kills itself": ("os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
    "writes nonsense everywhere": (NONSENSE, "crashed"),
    "raises SystemExit": ("raise SystemExit(0)", "exception"),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "exception"),
    "interrupts the main thread": ("_thread.interrupt_main(); 1 / 0", "exception"),
    "recurses": ("return recurse()", "exception"),
}

SYNC = """
    import _thread, ctypes, os, signal, time

    def recurse(): return recurse()

    def answer(text):
        if text != "guilty":
            time.sleep(0.15)
            return text
        {deed}
"""

ASYNC = """
    import _thread, asyncio, ctypes, os, signal, time

    def recurse(): return recurse()

    async def answer(text):
        if text != "guilty":
            await asyncio.sleep(0.15)
            return text
        {deed}
"""


@pytest.mark.parametrize(("deed", "kind"), GUILTY.values(), ids=GUILTY)
def test_only_the_guilty_call_is_charged(tmp_path: Path, deed: str, kind: str) -> None:
    replies = ask(tmp_path, SYNC.format(deed=deed), ["a", "guilty", "b"], timeout_s=0.5)
    assert [kind_of(reply) for reply in replies] == ["answered", kind, "answered"]
    assert [reply.value for reply in replies] == ["a", None, "b"]


async def call_again_if_lost(pool: WorkerPool, text: str, timeout_s: float) -> list[Reply]:
    """The replies to a call that is repeated for as long as another call may have ended it."""
    replies = [await pool.call(payload(text), timeout_s)]
    while (error := replies[-1].error) and error.retryable:
        replies.append(await pool.call(payload(text), timeout_s))
    return replies


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("async", "hangs"),
        ("async", "exits"),
        ("threads", "holds the interpreter"),
        ("threads", "exits"),
    ],
)
def test_calls_that_share_a_process_are_lost_together_once(
    tmp_path: Path, name: str, mode: str
) -> None:
    deed, kind = GUILTY[name]
    source = (ASYNC if mode == "async" else SYNC).format(deed=deed)

    async def use(pool: WorkerPool) -> list[list[Reply]]:
        texts = ["a", "guilty", "b"]
        first = await asyncio.gather(*(call_again_if_lost(pool, text, 0.4) for text in texts))
        return [*first, *await asyncio.gather(*(call_again_if_lost(pool, t, 0.4) for t in texts))]

    by_call = with_pool(tmp_path, source, use, in_threads=mode == "threads")
    assert [kind_of(replies[-1]) for replies in by_call] == ["answered", kind, "answered"] * 2
    for lost in (reply.error for replies in by_call for reply in replies[:-1]):
        assert lost is not None
        assert "any of them may be the cause" in lost.message
    # From then on each call has a process of its own.
    assert [len(replies) for replies in by_call[3:]] == [1, 1, 1]
    assert 1 <= len(by_call[1]) <= 2


@pytest.mark.parametrize("name", ["raises SystemExit", "interrupts the main thread"])
def test_only_the_guilty_async_call_is_charged(tmp_path: Path, name: str) -> None:
    deed, kind = GUILTY[name]
    replies = ask(tmp_path, ASYNC.format(deed=deed), ["a", "guilty", "b"], timeout_s=0.5)
    assert [kind_of(reply) for reply in replies] == ["answered", kind, "answered"]


@pytest.mark.parametrize("deed", ["os._exit(3)", "time.sleep(100)", "ctypes.string_at(0)"])
def test_a_crash_or_hang_costs_one_call_and_repeats_none(tmp_path: Path, deed: str) -> None:
    source = f"""
        import ctypes, os, time

        log = os.open("calls.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def answer(text):
            os.write(log, f"{{text}} {{os.getpid()}}\\n".encode())
            time.sleep(0.3)
            if text.startswith("guilty"):
                {deed}
            return text
    """
    texts = [f"{'guilty' if number % 6 == 2 else 'good'}{number}" for number in range(18)]
    replies = ask(tmp_path, source, texts, timeout_s=1.0, concurrency=6)
    kind = "timeout" if "sleep" in deed else "crashed"
    assert [kind_of(reply) for reply in replies] == [
        kind if text.startswith("guilty") else "answered" for text in texts
    ]
    calls = [line.split() for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert sorted(text for text, _ in calls) == sorted(texts)
    assert len({pid for _, pid in calls}) > 3


def test_the_pool_goes_on_after_every_kind_of_trouble(tmp_path: Path) -> None:
    source = """
        import os, sys, time

        def answer(text):
            if text == "exit": os._exit(1)
            if text == "hang": time.sleep(100)
            if text == "raise": sys.exit(0)
            return text
    """

    async def use(pool: WorkerPool) -> list[str]:
        texts = ["a", "exit", "b", "hang", "c", "raise", "d", "exit", "e"]
        return [kind_of(await pool.call(payload(text), 0.5)) for text in texts]

    ok, crashed, late, raised = "answered", "crashed", "timeout", "exception"
    assert with_pool(tmp_path, source, use) == [
        ok, crashed, ok, late, ok, raised, ok, crashed, ok,
    ]  # fmt: skip


# Deadlines.


@pytest.mark.parametrize(
    "wait",
    ["time.sleep(100)", "ctypes.PyDLL(None).sleep(100)"],
    ids=["waits", "holds the interpreter"],
)
def test_a_hung_call_is_charged_at_its_deadline_and_its_process_killed(
    tmp_path: Path, wait: str
) -> None:
    source = f"""
        import ctypes, os, pathlib, signal, time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)

        def answer(text):
            pathlib.Path("pid").write_text(str(os.getpid()))
            {wait}
    """

    async def use(pool: WorkerPool) -> tuple[Reply, float, bool]:
        started = time.monotonic()
        reply = await pool.call(payload("x"), 0.4)
        took_s = time.monotonic() - started
        return (
            reply,
            took_s,
            await asyncio.to_thread(ends_within, int((tmp_path / "pid").read_text()), 2.0),
        )

    reply, took_s, ended = with_pool(tmp_path, source, use)
    assert reply.error is not None
    assert reply.error.kind == "timeout"
    assert reply.error.message == "no answer within 0.4 s."
    assert 0.4 <= took_s < 1.4
    assert ended


def test_overdue_async_calls_are_cancelled_and_their_process_kept(tmp_path: Path) -> None:
    source = """
        import asyncio, os

        cancelled = []

        async def answer(text):
            if text != "hang":
                return f"{os.getpid()} {cancelled}"
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                cancelled.append(text)
                raise
    """

    async def use(pool: WorkerPool) -> tuple[Reply, list[Reply], Reply]:
        before = await pool.call(payload("before"), PLENTY_S)
        hung = await asyncio.gather(*(pool.call(payload("hang"), 0.3) for _ in range(2)))
        return before, hung, await pool.call(payload("after"), PLENTY_S)

    before, hung, after = with_pool(tmp_path, source, use)
    assert [kind_of(reply) for reply in hung] == ["timeout"] * 2
    assert after.value == before.value.replace("[]", "['hang', 'hang']")


def test_an_async_call_that_will_not_be_cancelled_loses_its_process(tmp_path: Path) -> None:
    source = """
        import asyncio, os

        async def answer(text):
            while text == "hang":
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    pass
            return os.getpid() and str(os.getpid())
    """

    async def use(pool: WorkerPool) -> tuple[str, str, bool]:
        before = await pool.call(payload("x"), PLENTY_S)
        late = await pool.call(payload("hang"), 0.2)
        ended = await asyncio.to_thread(ends_within, int(before.value), 3.0)
        after = await pool.call(payload("x"), PLENTY_S)
        return kind_of(late), kind_of(after), ended

    assert with_pool(tmp_path, source, use) == ("timeout", "answered", True)


def test_a_hung_thread_lets_the_other_calls_of_its_process_finish(tmp_path: Path) -> None:
    source = """
        import os, time

        def answer(text):
            with open("calls.txt", "a") as log:
                log.write(text + " ")
            time.sleep(float(text))
            return str(os.getpid())
    """

    async def use(pool: WorkerPool) -> list[Reply]:
        hung = asyncio.create_task(pool.call(payload("100"), 0.3))
        slow = asyncio.create_task(pool.call(payload("1.0"), PLENTY_S))
        await hung
        new = await pool.call(payload("0"), PLENTY_S)
        return [hung.result(), await slow, new]

    hung, slow, new = with_pool(tmp_path, source, use, in_threads=True)
    assert [kind_of(hung), kind_of(slow), kind_of(new)] == ["timeout", "answered", "answered"]
    assert slow.value != new.value, "a new call went to the process that holds the hung one"
    assert (tmp_path / "calls.txt").read_text().split().count("1.0") == 1


@pytest.mark.parametrize("word", ["", "async "])
def test_calls_that_hang_together_are_charged_together(tmp_path: Path, word: str) -> None:
    wait = "await asyncio.sleep(100)" if word else "time.sleep(100)"
    source = f"""
        import asyncio, time

        {word}def answer(text):
            if text == "hang":
                {wait}
            return text
    """

    async def use(pool: WorkerPool) -> tuple[list[str], float, str]:
        started = time.monotonic()
        calls = (pool.call(payload("hang"), 0.3) for _ in range(8))
        kinds = [kind_of(reply) for reply in await asyncio.gather(*calls)]
        took_s = time.monotonic() - started
        return kinds, took_s, kind_of(await pool.call(payload("x"), PLENTY_S))

    kinds, took_s, after = with_pool(tmp_path, source, use, in_threads=not word)
    assert kinds == ["timeout"] * 8
    assert took_s < 1.3
    assert after == "answered"


# Many at once.


MODES = ["sync", "async", "threads"]


def sleeping_agent(mode: str, pause_s: float) -> str:
    """An agent that answers with the id of its process."""
    word, wait = ("async ", "await asyncio") if mode == "async" else ("", "time")
    return f"""
        import asyncio, os, time
        {word}def answer(text):
            {wait}.sleep({pause_s})
            return str(os.getpid())
    """


@pytest.mark.parametrize("mode", MODES)
def test_calls_run_at_the_same_time_up_to_the_limit(tmp_path: Path, mode: str) -> None:
    pids: set[str] = set()

    async def call_all(pool: WorkerPool) -> float:
        started = time.monotonic()
        replies = await asyncio.gather(*(pool.call(payload("x"), PLENTY_S) for _ in range(16)))
        pids.update(reply.value for reply in replies)
        return time.monotonic() - started

    async def use(pool: WorkerPool) -> float:
        while mode == "sync" and len(pids) < 8:  # the processes start while calls wait
            await call_all(pool)
        return await call_all(pool)

    took_s = with_pool(tmp_path, sleeping_agent(mode, 0.2), use, in_threads=mode == "threads")
    assert 0.4 <= took_s < 1.2
    assert len(pids) == (8 if mode == "sync" else 1)


def test_a_fast_agent_needs_one_process(tmp_path: Path) -> None:
    source = "import os\ndef answer(text):\n    return str(os.getpid())"
    replies = ask(tmp_path, source, ["x"] * 1000)
    # A second one if the machine stops the first for a while; test_demand.py has a clock of its own.
    assert len({reply.value for reply in replies}) <= 2


def test_waiting_for_a_free_process_is_not_on_the_clock(tmp_path: Path) -> None:
    source = sleeping_agent("sync", 0.3)
    for options in ({"concurrency": 1}, {"processes": 1}):
        replies = ask(tmp_path, source, ["x"] * 4, timeout_s=0.6, **options)
        assert [kind_of(reply) for reply in replies] == ["answered"] * 4
        assert all(0.3 <= reply.duration_s < 0.6 for reply in replies)


@pytest.mark.parametrize("mode", MODES)
def test_as_many_processes_as_are_asked_for_share_the_calls(tmp_path: Path, mode: str) -> None:
    async def use(pool: WorkerPool) -> list[int]:
        pids: set[str] = set()
        counts: list[int] = []
        while len(counts) < 4 or (len(pids) < 2 and len(counts) < 20):
            calls = (pool.call(payload("x"), PLENTY_S) for _ in range(8))
            pids.update(reply.value for reply in await asyncio.gather(*calls))
            counts.append(len(pids))
        return counts

    source = sleeping_agent(mode, 0.1)
    counts = with_pool(tmp_path, source, use, processes=2, in_threads=mode == "threads")
    assert max(counts) == 2


def test_the_calls_of_a_session_go_to_one_process_while_it_lives(tmp_path: Path) -> None:
    source = """
        import os, time

        def answer(text):
            time.sleep(0.1)
            if text == "crash":
                os._exit(1)
            return str(os.getpid())
    """

    async def converse(pool: WorkerPool, name: str) -> list[str | None]:
        texts = ["x", "x", "x", "crash", "x", "x"]
        replies = [await pool.call(payload(text), PLENTY_S, name) for text in texts]
        return [reply.value for reply in replies]

    async def use(pool: WorkerPool) -> list[list[str | None]]:
        await asyncio.gather(*(pool.call(payload("x"), PLENTY_S) for _ in range(24)))
        return await asyncio.gather(*(converse(pool, str(number)) for number in range(6)))

    pids = with_pool(tmp_path, source, use, concurrency=6)
    for before, again, third, crashed, after, last in pids:
        assert before == again == third
        assert crashed is None
        assert after == last != before
    assert len({session[0] for session in pids}) > 1


def test_a_process_that_cannot_start_is_done_without(tmp_path: Path) -> None:
    source = """
        import os, socket, time

        door = socket.socket(socket.AF_UNIX)
        door.bind("only-one")  # as an agent does that listens on a port

        def answer(text):
            time.sleep(0.2)
            return str(os.getpid())
    """
    for options in ({}, {"processes": 2, "in_threads": True}):
        (tmp_path / "only-one").unlink(missing_ok=True)
        replies = ask(tmp_path, source, ["x"] * 8, **options)
        assert len({reply.value for reply in replies}) == 1


# Where a sync function runs.


def test_a_sync_function_may_do_what_only_the_main_thread_may(tmp_path: Path) -> None:
    source = """
        import asyncio, signal, sqlite3, threading

        database = sqlite3.connect(":memory:")
        store = threading.local()
        store.name = "set at import"
        loop = asyncio.new_event_loop()
        lock = asyncio.Lock()  # belongs to the first loop that waits for it
        current = None

        async def think(text):
            async with lock:
                await asyncio.sleep(0.01)
                return text

        def wrapped(function):
            return lambda text: function(text)

        @wrapped
        async def coroutine(text):
            return await asyncio.gather(think(text), think(text))

        def stop_late(number, frame):
            raise TimeoutError("the alarm rang")

        def ring(text):
            signal.signal(signal.SIGALRM, stop_late)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            threading.Event().wait(10)

        def keep(text):
            global current
            current = text
            threading.Event().wait(0.05)
            return current

        def answer(text):
            return {
                "thread": lambda: threading.current_thread() is threading.main_thread(),
                "database": lambda: database.execute("select 1").fetchone(),
                "local": lambda: store.name,
                "loop": lambda: loop.run_until_complete(coroutine(text)),
                "alarm": lambda: ring(text),
            }.get(text, lambda: keep(text))()

        def to_data(function):
            return lambda text: {"data": function(text)}

        answer = to_data(answer)
    """
    texts = ["thread", "database", "local", "loop", "loop", "alarm", "alarm", "kept 1", "kept 2"]
    replies = ask(tmp_path, source, texts)
    assert [reply.value and reply.value["data"] for reply in replies] == [
        True, [1], "set at import", ["loop"] * 2, ["loop"] * 2, None, None, "kept 1", "kept 2",
    ]  # fmt: skip
    assert {reply.error and reply.error.message for reply in replies[5:7]} == {
        "TimeoutError: the alarm rang"
    }


@pytest.mark.parametrize("in_threads", [False, True], ids=["main thread", "threads"])
def test_what_a_sync_function_returns_is_awaited_in_one_loop(
    tmp_path: Path, in_threads: bool
) -> None:
    source = """
        import asyncio

        async def name_loop(text):
            return str(id(asyncio.get_running_loop()))

        def answer(text):
            return name_loop(text)
    """

    async def use(pool: WorkerPool) -> list[str]:
        return [(await pool.call(payload("x"), PLENTY_S)).value for _ in range(3)]

    assert len(set(with_pool(tmp_path, source, use, in_threads=in_threads, concurrency=1))) == 1


def test_an_alarm_that_rings_between_calls_does_no_harm(tmp_path: Path) -> None:
    source = """
        import signal

        def fail(number, frame):
            raise TimeoutError

        def answer(text):
            signal.signal(signal.SIGALRM, fail if text == "fail" else signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return text
    """

    async def use(pool: WorkerPool) -> list[str]:
        kinds = []
        for text in ("fail", "fail", "die", "fail"):
            kinds.append(kind_of(await pool.call(payload(text), 1.0)))
            await asyncio.sleep(0.3)
        return kinds

    assert with_pool(tmp_path, source, use) == ["answered"] * 4


# What comes back.


BAD_REPLIES = {
    "None": ("bad_reply", "returned None"),
    "3": ("bad_reply", "type 'int'"),
    "object()": ("bad_reply", "type 'object'"),
    "(piece for piece in [1])": ("bad_reply", "yielded an object of type 'int'"),
    "{'data': float('nan')}": ("bad_reply", "JSON"),
    "{'data': cycle}": ("bad_reply", "Circular"),
    "{'data': deep}": ("bad_reply", "JSON"),
    "{'data': object()}": ("bad_reply", "'object' is not JSON"),
    "{('a', 'b'): 1}": ("bad_reply", "keys must be"),
    "{'data': 10 ** 5000}": ("bad_reply", "JSON"),
    "'x' * 10_000_001": ("output_too_large", "10,000,000"),
    "{'data': ['x' * 6_000_000] * 2}": ("output_too_large", "10,000,000"),
    "Unreadable()": ("bad_reply", "ZeroDivisionError"),
    "1 / 0": ("exception", "ZeroDivisionError: division by zero"),
    "fail_unspeakably()": ("exception", "Unspeakable: (its text cannot be shown)"),
}


@pytest.fixture(scope="module")
def returned(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reply]:
    """What becomes of each expression when an agent returns its value."""
    source = """
        import collections

        cycle = []
        cycle.append(cycle)
        deep = []
        for _ in range(100_000):
            deep = [deep]

        class Unreadable(collections.UserDict):
            def __iter__(self): 1 / 0

        class Unspeakable(Exception):
            def __str__(self): 1 / 0

        def fail_unspeakably(): raise Unspeakable

        def answer(text):
            return eval(text)
    """
    replies = ask(tmp_path_factory.mktemp("expressions"), source, [*BAD_REPLIES])
    return dict(zip(BAD_REPLIES, replies, strict=True))


@pytest.mark.parametrize("expression", BAD_REPLIES)
def test_a_reply_that_cannot_be_one_is_an_error_of_its_kind(
    returned: Mapping[str, Reply], expression: str
) -> None:
    kind, says = BAD_REPLIES[expression]
    error = returned[expression].error
    assert error is not None
    assert error.kind == kind
    assert says in error.message


def test_text_goes_there_and_back_unchanged(tmp_path: Path) -> None:
    texts = [
        "", "\ud800 lone", "\x00\x1b\u202e", "日本語 👩‍👩‍👧", "a\nb\r\n", '{"x": 1}', "é" * 1_500_000,
    ]  # fmt: skip
    replies = ask(tmp_path, "def answer(text):\n    return text", texts)
    assert [reply.value for reply in replies] == texts


def test_text_of_any_script_may_take_the_whole_limit(tmp_path: Path) -> None:
    reply = ask_one(tmp_path, "def answer(text):\n    return '語' * 3_300_000")
    assert len(reply.value) == 3_300_000


def test_an_exception_shows_the_users_lines_and_none_of_ours(tmp_path: Path) -> None:
    source = """
        def look_up(text):
            return {}[text]

        def answer(text):
            return look_up(text)
    """
    error = ask_one(tmp_path, source, "shoes").error
    assert error is not None
    assert error.message == "KeyError: 'shoes'"
    assert "in answer" in error.detail
    assert "return {}[text]" in error.detail
    assert "worker" not in error.detail


def test_what_is_printed_is_never_taken_for_an_answer(tmp_path: Path) -> None:
    source = """
        import os, sys

        def answer(text):
            forged = 'value 1 0.0 "forged"\\n' * 3
            print(forged, flush=True)
            print(forged, file=sys.stderr, flush=True)
            os.write(1, forged.encode())
            return "honest"
    """
    assert ask_one(tmp_path, source).value == "honest"


def test_a_flood_of_output_is_drained_and_only_its_end_kept(tmp_path: Path) -> None:
    source = """
        import os, sys

        def answer(text):
            for _ in range(50):
                os.write(1, b"x" * 1_000_000)
                os.write(2, b"y" * 1_000_000)
            os.write(2, b"\\xff the last words")
            os._exit(1)
    """
    before = psutil.Process().memory_info().rss
    error = ask_one(tmp_path, source).error
    assert error is not None
    assert error.detail.endswith("\ufffd the last words")
    assert len(error.detail) <= 2_000
    assert psutil.Process().memory_info().rss - before < 50_000_000


def test_a_crash_says_how_the_process_ended(tmp_path: Path) -> None:
    says = {
        "os._exit(0)": "its process ended with exit code 0.",
        "os._exit(7)": "its process ended with exit code 7.",
        "ctypes.string_at(0)": "its process was ended by SIGSEGV.",
        "os.kill(os.getpid(), 9)": "its process was ended by SIGKILL (out of memory?).",
    }
    source = "import ctypes, os\ndef answer(text):\n    exec(text)"
    replies = ask(tmp_path, source, [*says], concurrency=1)
    assert [reply.error and reply.error.message for reply in replies] == [*says.values()]


def test_a_fork_of_the_target_does_not_answer_for_it(tmp_path: Path) -> None:
    source = """
        import os

        def answer(text):
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
                return "parent"
            return "child"
    """
    replies = ask(tmp_path, source, ["a", "b", "c"])
    assert [reply.value for reply in replies] == ["parent"] * 3


def test_a_patched_json_module_does_not_reach_us(tmp_path: Path) -> None:
    source = """
        import json
        json.dumps = json.loads = json.JSONEncoder.encode = lambda *a, **k: '"patched"'

        def answer(text):
            return text
    """
    assert ask_one(tmp_path, source, "honest").value == "honest"


def test_a_task_that_exits_on_its_own_leaves_other_calls_alone(tmp_path: Path) -> None:
    source = """
        import asyncio

        async def leave():
            raise SystemExit(0)

        async def answer(text):
            asyncio.create_task(leave())
            await asyncio.sleep(0.1)
            return text
    """
    assert [reply.value for reply in ask(tmp_path, source, ["a", "b"])] == ["a", "b"]


# What is around it.


def test_a_worker_sees_the_allowed_variables_and_those_asked_for(tmp_path: Path) -> None:
    source = "import os\ndef answer(text):\n    return {'data': dict(os.environ)}"
    environ = {
        "EVALKIT_JUDGE_KEY": "j",
        "GITHUB_TOKEN": "t",
        "GITHUB_OUTPUT": "o",
        "MY_KEY": "m",
        "LC_ALL": "C.UTF-8",
    }
    seen = ask_one(tmp_path, source, environ=environ, env=["MY_KEY", "EVALKIT_JUDGE_KEY"]).value
    assert seen["data"]["MY_KEY"] == "m"
    assert seen["data"]["LC_ALL"] == "C.UTF-8"
    assert "PATH" in seen["data"]
    assert not {"EVALKIT_JUDGE_KEY", "GITHUB_TOKEN", "GITHUB_OUTPUT"} & seen["data"].keys()


GRANDCHILDREN = """
    import os, subprocess, sys, time

    def answer(text):
        sleep = [sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(100)"]
        pids = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
        if os.fork() == 0:  # the classic daemon: fork, setsid, fork, with the parents gone
            os.setsid()
            daemon = subprocess.Popen(sleep, start_new_session=True)
            with open("pids", "a") as file:
                file.write(f"{{daemon.pid}} ")
            os._exit(0)
        with open("pids", "a") as file:
            file.write(" ".join(map(str, pids)) + " ")
        {then}
        return "done"
"""


def started_by(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        ("pass", "answered"),
        ("time.sleep(100)", "timeout"),
        ("time.sleep(0.3); os._exit(1)", "crashed"),
    ],
    ids=["answers", "hangs", "exits"],
)
def test_nothing_a_call_started_outlives_the_pool(tmp_path: Path, then: str, kind: str) -> None:
    reply = ask_one(tmp_path, GRANDCHILDREN.format(then=then), timeout_s=2.0)
    assert kind_of(reply) == kind
    pids = started_by(tmp_path)
    assert len(pids) == 3
    assert all(ends_within(pid, 2.0) for pid in pids)


@pytest.mark.parametrize(
    "then", ["time.sleep(100)", "time.sleep(0.3); os._exit(1)"], ids=["hangs", "exits"]
)
def test_what_a_failed_call_started_is_killed_while_the_run_goes_on(
    tmp_path: Path, then: str
) -> None:
    async def use(pool: WorkerPool) -> bool:
        await pool.call(payload("x"), 1.0)
        pids = started_by(tmp_path)
        assert len(pids) == 3
        return await asyncio.to_thread(lambda: all(ends_within(pid, 2.0) for pid in pids))

    assert with_pool(tmp_path, GRANDCHILDREN.format(then=then), use)


def test_a_worker_ends_with_its_parent_even_while_a_call_hangs(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        "import os, time\n"
        "def answer(text):\n"
        "    open('pid.new', 'w').write(str(os.getpid()))\n"
        "    os.rename('pid.new', 'pid')\n"
        "    time.sleep(100)\n"
    )
    program = f"""
import asyncio, os
from pathlib import Path
from tests.worker.test_pool import payload, surroundings_of
from evalkit.worker.pool import TargetSpec, open_pool
async def run():
    folder = Path({str(tmp_path)!r})
    target = TargetSpec(kind="agent", ref="agent:answer")
    async with open_pool(target, surroundings_of(folder)) as pool:
        await pool.call(payload("x"), 100)
asyncio.run(run())
"""
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        assert wait_until(lambda: (tmp_path / "pid").exists() or parent.poll() is not None)
    finally:
        parent.kill()
        parent.communicate()
    assert ends_within(int((tmp_path / "pid").read_text()), 2.0)


def test_a_pool_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        "import os, time\n"
        "def answer(text):\n"
        "    open(f'pid.{os.getpid()}', 'w').close()\n"
        "    time.sleep(100)\n"
    )

    async def run() -> None:
        target = TargetSpec(kind="agent", ref="agent:answer")
        async with open_pool(target, surroundings_of(tmp_path)) as pool:
            await asyncio.gather(*(pool.call(payload("x"), PLENTY_S) for _ in range(4)))

    async def cancel() -> None:
        task = asyncio.create_task(run())
        await asyncio.to_thread(wait_until, lambda: any(tmp_path.glob("pid.*")))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    [pid] = [int(path.suffix[1:]) for path in tmp_path.glob("pid.*")]
    assert not is_running(pid)


def test_exit_handlers_of_the_target_run(tmp_path: Path) -> None:
    source = """
        import atexit, pathlib
        atexit.register(lambda: pathlib.Path("goodbye").touch())

        def answer(text):
            return text
    """
    ask_one(tmp_path, source)
    assert (tmp_path / "goodbye").exists()


def test_sigint_does_not_end_a_worker(tmp_path: Path) -> None:
    source = """
        import os, signal, time

        def answer(text):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            return text
    """
    handler = signal.getsignal(signal.SIGINT)  # under nohup it is SIG_IGN from the start
    assert ask_one(tmp_path, source).value == "x"
    assert signal.getsignal(signal.SIGINT) is handler


# Loading.


def test_a_worker_starts_with_nothing_but_what_it_needs(tmp_path: Path) -> None:
    source = """
        import sys
        loaded = sorted({name.partition(".")[0] for name in sys.modules})

        def answer(text):
            return {"data": loaded}
    """
    loaded = ask_one(tmp_path, source).value["data"]
    assert "threading" in loaded
    assert not {"asyncio", "aiohttp", "msgspec", "numpy", "psutil", "typer"} & set(loaded)


def load_error(folder: Path, ref: str, **options: Any) -> str:
    async def run() -> None:
        surroundings = surroundings_of(folder)
        async with open_pool(TargetSpec(kind="agent", ref=ref), surroundings, **options):
            raise AssertionError(f"{ref} was loaded")

    with pytest.raises(InvalidInput) as caught:
        asyncio.run(run())
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "ref", "says"),
    [
        ("", "suport:answer", "Did you mean 'support'?"),
        ("", "./missing.py:answer", "FileNotFoundError"),
        ("def answr(text): pass", "support:answer", "Did you mean 'answr'?"),
        ("class Bot:\n    def reply(self, text): pass", "support:Bot.repl", "Did you mean 'reply'?"),
        ("import nowhere_to_be_found", "support:answer", "No module named 'nowhere_to_be_found'"),
        ("1 / 0", "support:answer", "ZeroDivisionError: division by zero"),
        ("1 / 0", "support:answer", "support.py\", line 1, in <module>"),
        ("def answer(:", "support:answer", "SyntaxError"),
        ("raise SystemExit(0)", "./support.py:answer", "SystemExit: 0"),
        ("import os; os._exit(0)", "support:answer", "ended with exit code 0 while loading it"),
        ("import os, sys; print('why', file=sys.stderr, flush=True); os._exit(1)", "support:answer", "why"),
        ("answer = 'text'", "support:answer", "which cannot be called"),
        ("def answer(): pass", "support:answer", "its parameters are ()"),
        ("def answer(a, b, c): pass", "support:answer", "its parameters are (a, b, c)"),
        ("def answer(a, *, b): pass", "support:answer", "its parameters are (a, *, b)"),
        ("class Bot:\n    def __init__(self, x): pass", "support:Bot", "TypeError"),
        ("class Bot: pass", "support:Bot", "which cannot be called"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_loaded_says_why(
    tmp_path: Path, source: str, ref: str, says: str
) -> None:
    (tmp_path / "support.py").write_text(source)
    message = load_error(tmp_path, ref)
    assert says in message
    assert message.startswith(f"{ref!r} cannot be loaded: ")


def test_a_target_that_loads_only_once_costs_the_calls_after_a_crash(tmp_path: Path) -> None:
    source = """
        import os, pathlib

        if pathlib.Path("loaded").exists():
            raise RuntimeError("only once")
        pathlib.Path("loaded").touch()

        def answer(text):
            os._exit(1)
    """

    async def use(pool: WorkerPool) -> list[Reply]:
        return [await pool.call(payload("x"), PLENTY_S) for _ in range(2)]

    crashed, refused = with_pool(tmp_path, source, use)
    assert kind_of(crashed) == "crashed"
    assert refused.error is not None
    assert "RuntimeError: only once" in refused.error.message


def test_modules_are_found_beside_the_set_then_in_the_root_and_beside_a_file(
    tmp_path: Path,
) -> None:
    base = tmp_path / "sets"
    (base / "agents").mkdir(parents=True)
    (tmp_path / "where.py").write_text("PLACE = 'root'\n")
    (tmp_path / "only_root.py").write_text("PLACE = 'only root'\n")
    (base / "where.py").write_text("PLACE = 'base'\n")
    (base / "beside.py").write_text("PLACE = 'base'\n")
    (base / "agents" / "beside.py").write_text("PLACE = 'file'\n")
    (base / "agents" / "json.py").write_text(
        "import where, only_root, beside, os\n"
        "def answer(text):\n"
        "    import json\n"
        "    places = [where.PLACE, only_root.PLACE, beside.PLACE, os.getcwd()]\n"
        "    return json.dumps(places)\n"
    )

    async def run() -> Reply:
        surroundings = RunEnvironment(root=tmp_path, set_folder=base, environ=os.environ)
        target = TargetSpec(kind="agent", ref="./agents/json.py:answer")
        async with open_pool(target, surroundings) as pool:
            return await pool.call(payload("x"), PLENTY_S)

    reply = asyncio.run(run())
    assert reply.value == f'["base", "only root", "file", "{tmp_path}"]'


def test_after_a_stop_no_waiting_call_begins(tmp_path: Path) -> None:
    source = """
        import time
        def answer(prompt):
            open("begun", "a").write(prompt)
            while not __import__("os").path.exists("end"):
                time.sleep(0.01)
            return prompt
    """

    async def use(pool: WorkerPool) -> list[Reply]:
        calls = [asyncio.ensure_future(pool.call(payload(text), PLENTY_S)) for text in "abc"]
        while not (tmp_path / "begun").exists():  # noqa: ASYNC110 - a file of the worker
            await asyncio.sleep(0.01)
        pool.stop()
        (tmp_path / "end").touch()
        late = await pool.call(payload("d"), PLENTY_S)
        return [*await asyncio.gather(*calls), late]

    first, *others = with_pool(tmp_path, source, use, processes=1)
    assert first.value == "a"
    assert [each.error and (each.error.kind, each.error.retryable) for each in others] == [
        ("stopped", True)
    ] * 3
    assert (tmp_path / "begun").read_text() == "a"
