"""An OpenAI-compatible model on loopback that follows one script, whichever framework calls it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

INPUT_TOKENS = 100
OUTPUT_TOKENS = 20
MODEL = "gpt-4o-mini"


def reply_to(asked: dict[str, Any]) -> dict[str, Any] | None:
    """The message that the script says next; None for the order that the model refuses.

    Order 8 is looked up in two calls at once, with order 80; order 9 is refused; order 10 needs no tool.
    """
    texts = [_text_of(message.get("content")) for message in asked["messages"]]
    order = int(
        next(found for text in texts for found in re.findall(r"Where is order (\d+)", text))
    )
    if order == 9:
        return None
    told = [text for text in texts if "shipped" in text or "no such order" in text]
    if not told and order != 10:
        orders = (8, 80) if order == 8 else (order,)
        return _calls(*(("get_order", {"order_id": each}) for each in orders))
    answer = f"order {order} shipped"
    if any("no such order" in text for text in told):
        answer = f"order {order} does not exist"
    # smolagents takes its answer from a call of this tool.
    tools = [tool["function"]["name"] for tool in asked.get("tools") or ()]
    if "final_answer" in tools:
        return _calls(("final_answer", {"answer": answer}))
    return {"role": "assistant", "content": answer}


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(_text_of(part.get("text", "")) for part in content)
    return content or ""


def _calls(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(calls)
        ],
    }


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = reply_to(asked)
        if message is None:
            self._send(400, json.dumps({"error": {"message": "refused", "type": "invalid"}}))
            return
        usage = {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        }
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        whole = {"id": "x", "created": 1, "model": MODEL, "object": "chat.completion"}
        if not asked.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            self._send(200, json.dumps({**whole, "choices": [choice], "usage": usage}))
            return
        for index, call in enumerate(message.get("tool_calls") or ()):
            call["index"] = index
        part = {**whole, "object": "chat.completion.chunk"}
        parts = [
            {**part, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**part, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            {**part, "choices": [], "usage": usage},
        ]
        lines = [f"data: {json.dumps(each)}\n\n" for each in parts]
        self._send(200, "".join([*lines, "data: [DONE]\n\n"]), "text/event-stream")

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_order_model() -> Iterator[str]:
    """Serve the model; the value is what `OPENAI_BASE_URL` has to be."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
