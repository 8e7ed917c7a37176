from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor

LangChainInstrumentor().instrument()


@tool
def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ToolException("no such order 7")
    return f"order {order_id} shipped"


get_order.handle_tool_error = True
agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), tools=[get_order])


def answer(prompt):
    return agent.invoke({"messages": [("user", prompt)]})["messages"][-1].content
