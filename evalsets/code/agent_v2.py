"""The agent without tries: it takes the function that is most similar to the task.

The change and its reasons, which seemed good: trying the examples ran code inside the agent and took
most of its time, and on the tasks that the author tried, the first match was right anyway.
"""

from __future__ import annotations

from agent import CodingAgent

answer = CodingAgent(tries_examples=False).answer
