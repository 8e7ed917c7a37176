from agents import Agent, Runner, function_tool, set_default_openai_api
from agents.tracing import set_trace_processors
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

set_trace_processors([])  # its own tracing would be sent to OpenAI
OpenAIAgentsInstrumentor().instrument()
set_default_openai_api("chat_completions")


@function_tool
def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


agent = Agent(name="orders", model="gpt-4o-mini", tools=[get_order])


def answer(prompt):
    return (Runner.run_sync(agent, prompt)).final_output
