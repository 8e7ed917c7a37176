from pydantic_ai import Agent, ModelRetry

Agent.instrument_all()
agent = Agent("openai-chat:gpt-4o-mini", name="orders")


@agent.tool_plain
def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ModelRetry("no such order 7")
    return f"order {order_id} shipped"


async def answer(prompt):
    return (await agent.run(prompt)).output
