import os

from crewai import LLM, Agent
from crewai.tools import tool
from openinference.instrumentation.crewai import CrewAIInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor

CrewAIInstrumentor().instrument()
OpenAIInstrumentor().instrument()  # its spans have no model calls


@tool("get_order")
def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


def answer(prompt):
    llm = LLM(model="openai/gpt-4o-mini", base_url=os.environ["OPENAI_BASE_URL"])
    agent = Agent(role="clerk", goal="answer", backstory="a shop", llm=llm, tools=[get_order])
    return agent.kickoff(prompt).raw
