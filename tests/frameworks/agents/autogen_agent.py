from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from openinference.instrumentation.autogen_agentchat import AutogenAgentChatInstrumentor

AutogenAgentChatInstrumentor().instrument()


async def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


async def answer(prompt):
    client = OpenAIChatCompletionClient(model="gpt-4o-mini")
    agent = AssistantAgent("orders", client, tools=[get_order], reflect_on_tool_use=True)
    return (await agent.run(task=prompt)).messages[-1].content
