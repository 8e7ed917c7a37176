"""What a model reasons is dropped from its answer, and nothing else is."""

from __future__ import annotations

import pytest

from evalkit.core.think_tags import drop_reasoning

DROPPED = {
    "<think>a</think>b": "b",
    "  <think>\na\n</think>\n\nb": "b",
    "a</think>\n\nb": "b",
    "<think><think>a</think></think>b": "b",
    "<think></think>\n<think>b</think>c": "c",
    "<THINKING type='a'>x</THINKING> y": "y",
    "one\n<think>b</think>\ntwo": "one\n\ntwo",
    "<think>an answer that was cut off": "",
    "<think>\n```python\nx=(\n</think>\n```py\n1\n```": "```py\n1\n```",
    "[THINK]a[/THINK]b": "b",
    "◁think▷a◁/think▷b": "b",
    "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>": "b",
    "<|channel|>analysis<|message|>42?<|end|><|start|>assistant<|channel|>final<|message|>7<|return|>": "7",
}  # fmt: skip


@pytest.mark.parametrize("text", DROPPED)
def test_reasoning_is_dropped(text: str) -> None:
    assert drop_reasoning(text) == DROPPED[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " plain \n",
        "Use the <think> tag",
        "x <think>a</think>",
        "```html\n<think>a</think>\n```",
        "<b>a</b>",
    ],
)
def test_a_text_without_reasoning_stays_as_it_is(text: str) -> None:
    assert drop_reasoning(text) == text
