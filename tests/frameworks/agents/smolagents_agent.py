import os

from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from smolagents import OpenAIServerModel, ToolCallingAgent, tool

SmolagentsInstrumentor().instrument()


@tool
def get_order(order_id: int) -> str:
    """Look an order up.

    Args:
        order_id: its number.
    """
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


def answer(prompt):
    model = OpenAIServerModel("gpt-4o-mini", api_base=os.environ["OPENAI_BASE_URL"])
    agent = ToolCallingAgent(tools=[get_order], model=model, max_steps=3, verbosity_level=0)
    return str(agent.run(prompt))
