import sys
from pathlib import Path

from agents import Agent, Runner, set_default_openai_api
from agents.mcp import MCPServerStdio
from agents.tracing import set_trace_processors
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

set_trace_processors([])  # its own tracing would be sent to OpenAI
OpenAIAgentsInstrumentor().instrument()
set_default_openai_api("chat_completions")
SERVER = {"command": sys.executable, "args": [str(Path(__file__).with_name("mcp_server.py"))]}


async def answer(prompt):
    async with MCPServerStdio(params=SERVER, client_session_timeout_seconds=60) as server:
        agent = Agent(name="orders", model="gpt-4o-mini", mcp_servers=[server])
        return (await Runner.run(agent, prompt)).final_output
