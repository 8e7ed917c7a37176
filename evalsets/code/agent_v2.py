"""The agent that runs nothing: what sounds most like the task is taken.

What was changed, and why it looked like a good idea: running the examples meant running code inside
the agent, took most of its time, and on the tasks it was tried on the first hit was right anyway.
"""

from __future__ import annotations

from agent import CodingAgent

answer = CodingAgent(tries_examples=False).answer
