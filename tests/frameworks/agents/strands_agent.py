import os

from strands import Agent, tool
from strands.models.openai import OpenAIModel


@tool
def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


model = OpenAIModel(client_args={"base_url": os.environ["OPENAI_BASE_URL"]}, model_id="gpt-4o-mini")


def answer(prompt):
    agent = Agent(model=model, tools=[get_order], name="orders", callback_handler=None)
    return str(agent(prompt))
