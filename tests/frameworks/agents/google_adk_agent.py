import os

# Without these, the spans of tools have no arguments.
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from google.adk.agents import Agent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai.types import Content, Part


def get_order(order_id: int) -> str:
    """Look an order up."""
    if order_id == 7:
        raise ValueError("no such order 7")
    return f"order {order_id} shipped"


def explain(tool, args, tool_context, error):
    return {"error": str(error)}


agent = Agent(
    name="orders",
    model=LiteLlm(model="openai/gpt-4o-mini"),
    tools=[get_order],
    on_tool_error_callback=explain,
)


async def answer(prompt):
    runner = InMemoryRunner(agent=agent, app_name="shop")
    session = await runner.session_service.create_session(app_name="shop", user_id="u")
    message = Content(role="user", parts=[Part(text=prompt)])
    said = ""
    async for event in runner.run_async(user_id="u", session_id=session.id, new_message=message):
        if event.is_final_response() and event.content:
            said = event.content.parts[0].text
    return said
