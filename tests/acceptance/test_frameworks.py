"""Agents of three frameworks, each a plain entrypoint with a model that answers by a script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

import evalkit
from tests.conftest import Project
from tests.support.paths import ROOT

TRACES = (ROOT / "evalkit" / "guide" / "traces.md").read_text()

LANGGRAPH = """
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument()

    @tool
    def get_order(order_id: int) -> str:
        "Look an order up."
        return "shipped"

    def plan(state):
        call = {"name": "get_order", "args": {"order_id": 7}, "id": "c1"}
        model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call])]))
        return {"messages": [model.invoke(state["messages"])]}

    def reply(state):
        model = GenericFakeChatModel(messages=iter([AIMessage(state["messages"][-1].content)]))
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("plan", plan)
    builder.add_node("tools", ToolNode([get_order]))
    builder.add_node("reply", reply)
    for edge in ((START, "plan"), ("plan", "tools"), ("tools", "reply"), ("reply", END)):
        builder.add_edge(*edge)
    graph = builder.compile()

    def answer(prompt):
        return graph.invoke({"messages": [("user", prompt)]})["messages"][-1].content
"""

OPENAI_AGENTS = """
    import os
    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
    from agents.tracing import set_trace_processors
    from openai import AsyncOpenAI
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    set_trace_processors([])  # its own tracing would be sent to OpenAI
    OpenAIAgentsInstrumentor().instrument()

    @function_tool
    def get_order(order_id: int) -> str:
        "Look an order up."
        return "shipped"

    async def answer(prompt):
        client = AsyncOpenAI(base_url=os.environ["STUB_URL"], api_key="none")
        model = OpenAIChatCompletionsModel("stub-model", client)
        agent = Agent(name="orders", tools=[get_order], model=model)
        return (await Runner.run(agent, prompt)).final_output
"""


def spans_of(project: Project, agent: str, env: dict[str, str] | None = None) -> Any:
    """The spans of one trial of an agent, which must answer and be shown."""
    project.write("agent.py", agent)
    project.write(
        "orders.yaml",
        """
        agent: {python: "./agent.py:answer", env: [STUB_URL]}
        cases: [{id: seven, input: Where is order 7?, expected: shipped}]
        """,
    )
    done = project.evalkit("run", "orders.yaml", env={"STUB_URL": "", **(env or {})})
    assert done.code == 0, done.out + done.err
    assert "tool get_order" in project.evalkit("show", "latest", "seven").out
    assert project.evalkit("traces", "--tool", "get_order").out.startswith("1 trace in 1 run")
    [output] = [row["output"] for row in project.rows()]
    [call] = output["tool_calls"]
    assert (call["name"], call["arguments"]) == ("get_order", {"order_id": 7})
    assert "shipped" in json.dumps(call["result"])
    return evalkit.load_run("latest", project.folder).spans


def kinds(spans: Any) -> list[str]:
    return [kind for kind in spans["kind"] if kind in ("model", "tool")]


def test_an_agent_of_pydantic_ai_as_the_guide_has_it(project: Project) -> None:
    pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")
    code = re.search(r"```python\n# orders.py\n(.*?)```", TRACES, re.DOTALL)
    assert code
    spans = spans_of(project, code[1])
    assert kinds(spans) == ["model", "tool", "model"]
    assert spans.iloc[0]["kind"] == "agent"
    assert spans.iloc[0]["name"] == "invoke_agent orders"
    assert (spans[spans.kind == "model"].input_tokens > 0).all()


def test_an_agent_of_langgraph(project: Project) -> None:
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    pytest.importorskip(
        "openinference.instrumentation.langchain", reason="its instrumentation is not installed"
    )
    spans = spans_of(project, LANGGRAPH)
    assert kinds(spans) == ["model", "tool", "model"]
    assert {"LangGraph", "plan", "tools", "reply"} <= set(spans["name"])


@pytest.fixture
def stub() -> Iterator[str]:
    """An OpenAI-compatible server that calls a tool first, and then says what the tool said."""

    class Stub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told = [message for message in asked["messages"] if message["role"] == "tool"]
            call = {
                "id": "c1",
                "type": "function",
                "function": {"name": "get_order", "arguments": '{"order_id": 7}'},
            }
            message = (
                {"role": "assistant", "content": told[-1]["content"]}
                if told
                else {"role": "assistant", "content": None, "tool_calls": [call]}
            )
            reason = "stop" if told else "tool_calls"
            reply = {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "stub-model",
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
            }
            body = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_an_agent_of_the_openai_agents_sdk(project: Project, stub: str) -> None:
    pytest.importorskip("agents", reason="openai-agents is not installed")
    pytest.importorskip(
        "opentelemetry.instrumentation.openai_agents",
        reason="its instrumentation is not installed",
    )
    spans = spans_of(project, OPENAI_AGENTS, {"STUB_URL": stub})
    assert kinds(spans) == ["model", "tool", "model"]
    assert set(spans[spans.kind == "model"].model) == {"stub-model"}
