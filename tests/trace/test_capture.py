"""Steps of agents of every kind, captured while they are asked, as a run asks them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from threading import Thread
from typing import Any

import pytest

import evalkit
from evalkit.agents.conversation import converse
from evalkit.agents.http_exchange import MAX_ANSWERS_WITHOUT_SPANS
from evalkit.agents.registry import open_agent
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case, Turn
from evalkit.core.limits import MAX_SPANS
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request
from tests.agents.test_python import request_of

pytest.importorskip("opentelemetry.sdk", reason="the OpenTelemetry SDK is not installed")


def ask(
    folder: Path, kind: str, args: Json, requests: Sequence[Request], **spec: Any
) -> list[Output]:
    """Ask all at once."""
    given = args if isinstance(args, dict) else {"": args}

    async def run() -> list[Output]:
        surroundings = RunEnvironment(
            root=folder, set_folder=folder, environ=os.environ, run_id="r1"
        )
        async with open_agent(AgentSpec(kind=kind, args=given, **spec), surroundings) as agent:
            return await asyncio.gather(*map(agent.answer, requests))

    return asyncio.run(run())


def ask_python(folder: Path, source: str, *texts: str, timeout_s: float = 10) -> list[Output]:
    (folder / "agent.py").write_text(dedent(source))
    turns = [Turn(role="user", content=text) for text in texts]
    requests = [request_of(turn, timeout_s=timeout_s) for turn in turns]
    return ask(folder, "python", "./agent.py:answer", requests)


def names(output: Output) -> list[str]:
    return [span.name for span in output.spans]


def test_steps_by_evalkit_span_are_nested_timed_and_keep_their_errors(tmp_path: Path) -> None:
    [output] = ask_python(
        tmp_path,
        """
        import evalkit, time

        def answer(text):
            with evalkit.span("agent", "orders", session_id="s1"):
                with evalkit.span("tool", "search", arguments={"q": text}) as step:
                    time.sleep(0.02)
                    step.set(result=["a", 2], note={1, 1})
                try:
                    with evalkit.span("tool", "refund"):
                        raise TimeoutError("too slow")
                except TimeoutError:
                    pass
            with evalkit.span("model", "m", model="gpt", input_tokens=3, output_tokens=1):
                return "done"
        """,
        "shoes",
    )
    agent, search, refund, model = output.spans
    assert [span.kind for span in output.spans] == ["agent", "tool", "tool", "model"]
    assert (agent.parent_id, search.parent_id, refund.parent_id) == ("", agent.id, agent.id)
    assert (search.tool, search.arguments, search.result) == ("search", {"q": "shoes"}, ["a", 2])
    assert search.attributes == {"evalkit.note": "{1}"}
    assert 0.02 <= search.duration_s <= agent.duration_s <= output.latency_s
    assert 0 <= agent.start_s <= search.start_s < refund.start_s < model.start_s
    assert (refund.error_type, refund.error) == ("TimeoutError", "too slow")
    assert (model.model, model.input_tokens) == ("gpt", 3)


def test_a_step_outside_of_a_run_is_not_recorded_and_a_wrong_kind_is_refused() -> None:
    with evalkit.span("tool", "search") as step:
        step.set(result=1)
    with pytest.raises(ValueError, match="tol"), evalkit.span("tol", "search"):
        pass


PROVIDERS = {
    "global": """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - may be absent
        trace.set_tracer_provider(TracerProvider())
        get = lambda: trace.get_tracer("agent")
    """,
    "private": """
        from opentelemetry.sdk.trace import TracerProvider
        provider = TracerProvider()
        get = lambda: provider.get_tracer("agent")
    """,
    "none, the API alone": """
        from opentelemetry import trace
        get = lambda: trace.get_tracer("agent")
    """,
    "imported in the call": """
        def get():
            from opentelemetry import trace
            return trace.get_tracer("agent")
    """,
    "made in the call": """
        def get():
            from opentelemetry.sdk.trace import TracerProvider
            return TracerProvider().get_tracer("agent")
    """,
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_spans_of_any_provider_go_to_the_call_they_are_of(tmp_path: Path, provider: str) -> None:
    outputs = ask_python(
        tmp_path,
        dedent(PROVIDERS[provider])
        + dedent(
            """
            import asyncio

            async def answer(text):
                with get().start_as_current_span("invoke_agent " + text):
                    await asyncio.sleep(0.05)
                    with get().start_as_current_span("execute_tool find") as span:
                        span.set_attribute("gen_ai.tool.call.arguments", '{"q": "' + text + '"}')
                        await asyncio.sleep(0.05)
                return text
            """
        ),
        "a", "b", "c",
    )  # fmt: skip
    for output in outputs:
        root, tool = output.spans
        assert root.name == f"invoke_agent {output.text}"
        assert tool.parent_id == root.id
        assert (tool.kind, tool.tool, tool.arguments) == ("tool", "find", {"q": output.text})


RACE = """
    import threading
    from evalkit.worker.call_spans import CallSpans

    sent = {{}}
    spans = CallSpans(lambda call, recorded: sent.update({{call: recorded["spans"]}}))
    spans.record_otel()
    {before}
    start = threading.Barrier(16)

    def call(number):
        start.wait()
        with spans.record(str(number)):
            {inside}
            with get().start_as_current_span("execute_tool find"):
                pass

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(map(len, sent.values())))
"""
API = "from opentelemetry import trace; get = lambda: trace.get_tracer('agent')"
SDK = "from opentelemetry.sdk.trace import TracerProvider; " + API


@pytest.mark.parametrize(
    ("before", "inside"),
    [(API, "pass"), ("pass", API), ("pass", SDK)],
    ids=["before", "api", "sdk"],
)
def test_no_call_of_many_threads_starts_a_span_before_there_is_a_provider(
    before: str, inside: str
) -> None:
    source = dedent(RACE).format(before=before, inside=inside)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (str([1] * 16), "")


def test_spans_of_threads_an_agent_starts_are_found_by_their_trace(tmp_path: Path) -> None:
    outputs = ask_python(
        tmp_path,
        """
        from concurrent.futures import ThreadPoolExecutor
        from opentelemetry import context, trace
        from opentelemetry.sdk.trace import TracerProvider
        tracer = TracerProvider().get_tracer("agent")

        def work(text, current):
            context.attach(current)
            with tracer.start_as_current_span("inner " + text):
                pass

        def answer(text):
            with tracer.start_as_current_span("outer " + text):
                with ThreadPoolExecutor() as pool:
                    pool.submit(work, text, context.get_current()).result()
            return text
        """,
        "a", "b",
    )  # fmt: skip
    for output in outputs:
        assert names(output) == [f"outer {output.text}", f"inner {output.text}"]


def test_a_trial_that_is_out_of_time_tells_where_it_hung(tmp_path: Path) -> None:
    source = """
        import evalkit, time
        from opentelemetry.sdk.trace import TracerProvider
        tracer = TracerProvider().get_tracer("agent")

        def answer(text):
            with tracer.start_as_current_span("chat"), evalkit.span("tool", "done"):
                pass
            with tracer.start_as_current_span("outer"), evalkit.span("tool", "slow", arguments=1):
                time.sleep(30)
    """
    [output] = ask_python(tmp_path, source, "x", timeout_s=1)
    assert output.error
    assert output.error.kind == "timeout"
    errors = {span.name: span.error_type for span in output.spans}
    assert errors == {"chat": "", "done": "", "outer": "Timeout", "slow": "Timeout"}


def test_an_exception_costs_no_steps_and_a_hundred_thousand_are_bounded(tmp_path: Path) -> None:
    broken, flood = ask_python(
        tmp_path,
        """
        import evalkit

        def answer(text):
            for number in range(100_000 if text == "flood" else 1):
                with evalkit.span("tool", "t", big="x" * (50_000 if number == 0 else 0)):
                    pass
            return 1 / 0 if text == "broken" else "x"
        """,
        "broken", "flood",
    )  # fmt: skip
    assert broken.error
    assert names(broken) == ["t"]
    assert broken.flags == ("spans_cut=1",)
    assert len(flood.spans) == MAX_SPANS
    assert f"spans_dropped={100_000 - MAX_SPANS}" in flood.flags


def test_an_agent_without_any_has_no_spans_and_loads_no_opentelemetry(tmp_path: Path) -> None:
    source = """
        import sys

        def answer(text):
            return " ".join(name for name in sys.modules if name.startswith("opentelemetry"))
    """
    [output] = ask_python(tmp_path, source, "x")
    assert output == Output(latency_s=output.latency_s)


def test_the_steps_of_a_conversation_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(
        dedent(
            """
            import evalkit, time

            def answer(messages):
                with evalkit.span("tool", messages[-1]["content"]):
                    time.sleep(0.02)
                return "ok"
            """
        )
    )
    turns = (Turn(role="user", content="first"), Turn(role="user", content="second"))

    async def run() -> Output:
        surroundings = RunEnvironment(root=tmp_path, set_folder=tmp_path, environ=os.environ)
        spec = AgentSpec(kind="python", args={"": "./agent.py:answer"})
        async with open_agent(spec, surroundings) as agent:
            return await converse(agent, Case(id="c", input=turns), trial=0, timeout_s=10)

    output = asyncio.run(run())
    assert names(output) == ["first", "second"]
    assert output.spans[1].start_s >= output.spans[0].start_s + 0.02


EXPORTING = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
import os

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(compression=Compression.Gzip)))
tracer = provider.get_tracer("agent")
context = extract({"traceparent": os.environ["TRACEPARENT"]}) if "extract" in sys.argv else None
with tracer.start_as_current_span("invoke_agent orders", context=context):
    with tracer.start_as_current_span("execute_tool find") as span:
        span.set_attribute("gen_ai.tool.name", "find")
        span.set_attribute("gen_ai.tool.call.arguments", '{"q": [1, true]}')
    try:
        with tracer.start_as_current_span("execute_tool refund"):
            raise TimeoutError("slow")
    except TimeoutError:
        pass
print("done")
"""


def test_a_command_with_the_real_exporter_is_captured_with_and_without_traceparent(
    tmp_path: Path,
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="no OTLP exporter")
    (tmp_path / "agent.py").write_text(EXPORTING)
    for extra in ([], ["extract"]):
        argv = [sys.executable, "agent.py", "{input}", *extra]
        outputs = ask(
            tmp_path, "command", argv, [request_of(case_id=f"c,{n}", timeout_s=60) for n in (1, 2)]
        )
        for output in outputs:
            assert (output.text, output.error, output.flags) == ("done", None, ())
            root, find, refund = output.spans
            assert [span.parent_id for span in output.spans] == ["", root.id, root.id]
            assert (find.tool, find.arguments) == ("find", {"q": [1, True]})
            assert (refund.error_type, refund.error) == ("TimeoutError", "TimeoutError: slow")
            assert output.spans[0].start_s < output.latency_s


SENDING = """
import json, os, sys, urllib.error, urllib.request

def post(body, kind="application/json"):
    url = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind})).read()
        return 200
    except urllib.error.HTTPError as error:
        return error.code

def spans(count, trace=os.environ["TRACEPARENT"].split("-")[1], **more):
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": trace, "spanId": format(n + 1, "016x"), "startTimeUnixNano": str(n), "name": "s", **more}
        for n in range(count)]}]}]}).encode()
"""


def ask_sender(folder: Path, code: str) -> Output:
    (folder / "agent.py").write_text(SENDING + dedent(code))
    argv = [sys.executable, "agent.py", "{input}"]
    [output] = ask(folder, "command", argv, [request_of(timeout_s=60)])
    assert output.error is None, output.error
    return output


def test_a_flood_a_huge_value_and_garbage_are_bounded_and_told(tmp_path: Path) -> None:
    output = ask_sender(
        tmp_path,
        """
        big = [{"key": "big", "value": {"stringValue": "x" * 5_000_000}}]
        said = [post(spans(1, attributes=big))]
        said += [post(spans(5_000)) for _ in range(20)]
        said += [post(b"garbage"), post(b"garbage", "application/x-protobuf"), post(b"x" * 17_000_000)]
        said += [post(spans(3, trace="f" * 32))]
        print(said)
        """,
    )
    assert output.text == str([200] * 21 + [400, 400, 413, 200])
    # A flood repeats the ids it has used, and a span sent twice is one.
    assert 900 < len(output.spans) <= MAX_SPANS
    assert set(output.flags) == {
        "spans_cut=1", f"spans_dropped={100_001 - MAX_SPANS}", "spans_refused=3"
    }  # fmt: skip


def test_a_command_that_sends_nothing_has_no_spans_and_serves_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "print('x')", "{input}"]
    code = f"""
import asyncio, os, sys
from pathlib import Path
from evalkit.agents.registry import open_agent
from evalkit.core.eval_set import AgentSpec
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Request
folder = Path({str(tmp_path)!r})

async def ask():
    surroundings = RunEnvironment(root=folder, set_folder=folder, environ=os.environ)
    async with open_agent(AgentSpec(kind="command", args={{"": {argv!r}}}), surroundings) as agent:
        request = Request(
            case_id="a", trial=0, text="x", messages=(), metadata={{}}, timeout_s=60)
        return await agent.answer(request)

output = asyncio.run(ask())
assert output.text == "x" and output.spans == () and output.flags == ()
print([name for name in ("aiohttp", "google.protobuf", "duckdb") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_what_the_user_passes_on_by_name_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://mine")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a")
    code = "import os; print(os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'], os.environ['OTEL_RESOURCE_ATTRIBUTES'])"
    argv = [sys.executable, "-c", code, "{input}"]
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES")
    [output] = ask(tmp_path, "command", argv, [request_of(case_id="a,b=c")], env=named)
    assert output.text.startswith("http://mine team=a,evalkit.trace.id=")
    assert "evalkit.case.id=a%2Cb%3Dc,evalkit.trial=2" in output.text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(reply: Callable[[str], None]) -> Iterator[str]:
    """A server that answers `hello` and does with the traceparent what it is told to."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            reply(self.headers.get("traceparent", ""))
            self.send_response(200)
            self.send_header("Content-Length", "17")
            self.end_headers()
            self.wfile.write(b'{"output": "hey"}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def send_later(port: int, traceparent: str, delay_s: float) -> None:
    """Two spans, the inner one first, as a batch processor would send them."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - may be absent
    from opentelemetry.propagate import extract  # noqa: PLC0415 - may be absent
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - may be absent
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - may be absent

    exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}/v1/traces")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay_s * 1000))
    tracer = provider.get_tracer("server")
    with (
        tracer.start_as_current_span("POST /", context=extract({"traceparent": traceparent})),
        tracer.start_as_current_span("execute_tool find"),
    ):
        pass


def test_an_http_agent_is_waited_for_until_its_trace_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="no OTLP exporter")
    port = free_port()
    with serving(lambda parent: send_later(port, parent, delay_s=0.5)) as url:
        args = {"url": url, "otlp_port": port}
        outputs = ask(tmp_path, "http", args, [request_of(), request_of()])
    for output in outputs:
        assert output.text == "hey"
        assert names(output) == ["POST /", "execute_tool find"]
        assert output.spans[1].parent_id == output.spans[0].id
        assert output.flags == ()
        assert output.latency_s < 0.5


def test_an_http_agent_that_sends_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.agents.http_exchange.SPAN_WAIT_S", 0.2)
    seen: list[str] = []
    with serving(seen.append) as url:
        args = {"url": url, "otlp_port": free_port()}

        async def run() -> tuple[list[Output], float]:
            surroundings = RunEnvironment(root=tmp_path, set_folder=tmp_path, environ=os.environ)
            async with open_agent(AgentSpec(kind="http", args=args), surroundings) as agent:
                outputs = [
                    await agent.answer(request_of()) for _ in range(MAX_ANSWERS_WITHOUT_SPANS)
                ]
                start_s = asyncio.get_running_loop().time()
                outputs.append(await agent.answer(request_of()))
                return outputs, asyncio.get_running_loop().time() - start_s

        outputs, last_s = asyncio.run(run())
    assert last_s < 0.15
    assert all(output.flags == ("spans_partial",) and not output.spans for output in outputs)
    assert len(set(seen)) == MAX_ANSWERS_WITHOUT_SPANS + 1
    assert all(parent.startswith("00-") for parent in seen)


def test_a_port_that_is_taken_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        args = {"url": "http://127.0.0.1:9/", "otlp_port": other.getsockname()[1]}
        with pytest.raises(InvalidInput, match="otlp_port"):
            ask(tmp_path, "http", args, [])


def test_the_receiver_is_on_loopback_alone(tmp_path: Path) -> None:
    output = ask_sender(tmp_path, "print(os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'])")
    assert output.text.startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(output.text, timeout=5)
