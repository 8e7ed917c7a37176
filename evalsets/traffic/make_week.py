"""Make a week of traffic of the support agent. All of it is made up: nobody asked these questions.

    python evalsets/traffic/make_week.py

writes `2026-w46.traces.jsonl.zst`, in the form of a file of the OpenTelemetry Collector, and
`2026-w46.scores.jsonl`, ratings in the form of an export of Langfuse. It asks the two versions of the
agent in `evalsets/support/` and gets their own answers. Made up are the users, their reactions, the
times, the failures of a model that does not exist, and its tokens. The same seed gives the same week.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
import zstandard

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))

import agent  # noqa: E402
import agent_v2  # noqa: E402
from language import detect_language  # noqa: E402

SEED = 46
SESSIONS = 1246
USERS = 800
MONDAY = datetime(2026, 11, 9, tzinfo=UTC)

# From this day on, half of the users are answered by the new version.
CANARY_DAY = 2

# Requests by day of the week, and by hour in UTC.
DAYS = (17, 16, 15, 15, 14, 12, 11)
HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 10, 10, 11, 11, 10, 9, 9, 10, 10, 9, 6, 4)

SPANS_IN_EXPORT = 300


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the agent, and what a model would add to it."""

    name: str
    answer: Any
    prompt_tokens: int
    tokens_for_word: float
    median_s: float
    failures: Mapping[str, float]


VERSIONS = (
    Version("v1", agent.answer, 420, 3.0, 0.9, {"RateLimitError": 0.004, "APITimeoutError": 0.006}),
    Version(
        "v2", agent_v2.answer, 640, 5.0, 1.2, {"RateLimitError": 0.006, "APITimeoutError": 0.03}
    ),
)
MESSAGES = {
    "RateLimitError": "429: too many requests",
    "APITimeoutError": "the request timed out",
}

# Questions that no article answers, and that no case of the eval set asks.
NOVEL = (
    "Do you rent out kayaks?",
    "Is there parking in front of your store?",
    "Can I bring my dog into the shop?",
    "Are you hiring at the moment?",
    "Do you sharpen ice axes?",
    "Which trail do you recommend for beginners?",
    "Can you recycle my old rope?",
    "Do you offer climbing courses?",
    "Does the store have a water fountain for customers?",
    "Can I pay in cryptocurrency?",
    "Do you print names on jerseys?",
    "Is the blue kayak helmet certified for whitewater?",
    "Could you sponsor our school's mountain day?",
    "Who designed your new logo?",
    "Can I sell my used boots through your site?",
    "Do you have a newsletter archive?",
    "What is the weather like in the Alps this weekend?",
    "Can you book a mountain hut for me?",
    "Do you lend snowshoes for a weekend?",
    "How do I leave a review of a backpack?",
)
GREETINGS = ("Hi, ", "Hello! ", "Hey, ", "Good morning, ", "Hi there. ", "Quick question: ")
ENDINGS = (" Thanks!", " Thank you.", " Please help.", " Cheers")
OBJECTIONS = ("That is wrong.", "No, that is not what I asked.", "That does not help at all.")
HUMAN = "I want to talk to a person."
COMMENTS = ("not what I asked", "no answer", "wrong", "had to ask twice")


@dataclass(slots=True)
class Week:
    """What was recorded so far."""

    spans: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Asker:
    """A user, with the version that answers once the new one is out."""

    name: str
    version: Version
    is_chatty: bool


def make_week() -> Week:
    """Return the spans and ratings of one week."""
    rng = random.Random(SEED)
    cases = [
        case
        for case in yaml.safe_load((HERE.parent / "support.yaml").read_text("utf-8"))["cases"]
        if isinstance(case["input"], str) and "injection" not in case["tags"]
    ]
    askers = [
        Asker(f"user-{number:04}", VERSIONS[number % 2], rng.random() < 0.25)
        for number in range(USERS)
    ]
    # A few users ask much more than the others.
    weights = [rng.paretovariate(2.0) for _ in askers]
    week = Week()
    for moment in sorted(_draw_moments(rng)):
        asker = rng.choices(askers, weights)[0]
        Session(week, rng, asker, moment).run(cases)
    return week


def _draw_moments(rng: random.Random) -> Iterator[datetime]:
    for _ in range(SESSIONS):
        day = rng.choices(range(7), DAYS)[0]
        hour = rng.choices(range(24), HOURS)[0]
        yield MONDAY + timedelta(days=day, hours=hour, milliseconds=rng.randrange(3_600_000))


class Session:
    """One conversation: questions, answers, and how the user takes them."""

    def __init__(self, week: Week, rng: random.Random, asker: Asker, moment: datetime) -> None:
        self._week, self._rng, self._asker = week, rng, asker
        self._now = moment
        self._turns: list[dict[str, str]] = []
        week.sessions += 1
        self._name = f"session-{week.sessions:04}"
        is_out = (moment - MONDAY).days >= CANARY_DAY
        self._version = asker.version if is_out else VERSIONS[0]
        self._variant = ("b" if asker.version is VERSIONS[1] else "a") if is_out else ""

    def run(self, cases: Sequence[Mapping[str, Any]]) -> None:
        """Ask a question, and others after it as a user would."""
        rng = self._rng
        for _ in range(2 if self._asker.is_chatty else 1):
            if rng.random() < 0.12:
                self._ask_about(rng.choice(NOVEL), None)
            else:
                case = rng.choice(cases)
                self._ask_about(case["input"], case["expected"])
            self._now += timedelta(seconds=rng.uniform(20, 90))

    def _ask_about(self, question: str, expected: Mapping[str, Any] | None) -> None:
        rng = self._rng
        answer, trace = self._ask(vary(question, rng))
        is_content = answer is not None and is_helped(answer, expected)
        if not is_content and rng.random() < 0.4:
            # Ask again, in other words or angrily.
            self._now += timedelta(seconds=rng.uniform(8, 60))
            again = rng.choice(OBJECTIONS) if rng.random() < 0.3 else reword(question, rng)
            answer, trace = self._ask(again)
            is_content = answer is not None and is_helped(answer, expected)
        has_offer = answer is not None and not answer["data"]["answered"]
        if not is_content and rng.random() < (0.5 if has_offer else 0.1):
            self._now += timedelta(seconds=rng.uniform(5, 40))
            _, trace = self._ask(HUMAN, escalated=True)
        self._close(trace, is_content=is_content)

    def _close(self, trace: dict[str, Any], *, is_content: bool) -> None:
        rng = self._rng
        if rng.random() < 0.7:  # a button: "Did this solve it?"
            is_solved = is_content if rng.random() < 0.93 else not is_content
            trace["attributes"].append(attribute("evalkit.resolved", is_solved))
        # Those who are not content rate more often.
        if rng.random() < (0.06 if is_content else 0.2):
            is_good = is_content if rng.random() < 0.92 else not is_content
            rated = self._now + timedelta(seconds=rng.uniform(3, 400))
            score: dict[str, Any] = {
                "id": f"score-{len(self._week.scores) + 1:04}",
                "trace_id": trace["traceId"],
                "name": "user_feedback",
                "value": 1 if is_good else 0,
                "data_type": "BOOLEAN",
                "source": "API",
                "timestamp": rated.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
            if not is_good and rng.random() < 0.3:
                score["comment"] = rng.choice(COMMENTS)
            self._week.scores.append(score)

    def _ask(
        self, text: str, *, escalated: bool = False
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Ask the agent, record the trace, and return the answer and the root span."""
        rng, version = self._rng, self._version
        self._week.requests += 1
        number = self._week.requests
        self._turns.append({"role": "user", "content": text})
        answer = version.answer(list(self._turns), {"seed": SEED})
        failure = next((name for name, p in version.failures.items() if rng.random() < p), "")
        if escalated:
            answer, failure = handed_over(answer), ""
        trace = Trace(number, self._now)
        total_s = version.median_s * rng.lognormvariate(0, 0.45) + 0.05
        if failure:
            total_s = 30.0 if failure == "APITimeoutError" else 0.4
        searched_s = 0.0
        for call in answer["tool_calls"]:
            duration_s = rng.uniform(0.02, 0.06)
            is_handover = call["name"] == "hand_over"
            trace.add(f"execute_tool {call['name']}", 0.01 + searched_s, duration_s, {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call["name"],
                "gen_ai.tool.call.arguments": json.dumps(call["arguments"], ensure_ascii=False),
                **({} if is_handover else {"gen_ai.tool.call.result": json.dumps(call["result"])}),
            })  # fmt: skip
            searched_s += duration_s + 0.005
        used = answer["usage"]
        model: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
        }
        if not failure:
            model |= {
                "gen_ai.usage.input_tokens": version.prompt_tokens
                + round(version.tokens_for_word * used["input_tokens"]),
                "gen_ai.usage.output_tokens": round(1.4 * used["output_tokens"]),
                "gen_ai.response.time_to_first_chunk": round(total_s * rng.uniform(0.25, 0.4), 3),
            }
        start_s = 0.02 + searched_s
        trace.add("chat gpt-4o-mini", start_s, total_s - 0.01, model, failure)
        root: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "support",
            "gen_ai.conversation.id": self._name,
            "user.id": self._asker.name,
            "gen_ai.input.messages": message("user", text),
            "evalkit.escalated": escalated,
        }
        if self._variant:
            root["evalkit.variant"] = self._variant
        if not failure:
            root["gen_ai.output.messages"] = message("assistant", answer["output"])
        span = trace.add_root("invoke_agent support", start_s + total_s, root, failure)
        for each in trace.spans:
            self._week.spans.append((int(each["endTimeUnixNano"]), version.name, each))
        self._now += timedelta(seconds=start_s + total_s)
        if failure:
            self._turns.pop()
            return None, span
        self._turns.append({"role": "assistant", "content": answer["output"]})
        return answer, span


class Trace:
    """The spans of one request."""

    def __init__(self, number: int, start: datetime) -> None:
        self.spans: list[dict[str, Any]] = []
        self._id = f"{number:032x}"
        self._number = number
        self._start_ms = round(start.timestamp() * 1000)

    def add(
        self, name: str, start_s: float, duration_s: float, attributes: Mapping[str, Any],
        failure: str = "",
    ) -> None:  # fmt: skip
        """Add a span inside the root."""
        span = self._make(name, len(self.spans) + 2, start_s, duration_s, attributes, failure)
        self.spans.append(span | {"parentSpanId": self._span_id(1)})

    def add_root(
        self, name: str, duration_s: float, attributes: Mapping[str, Any], failure: str
    ) -> dict[str, Any]:
        """Add the span around all others."""
        self.spans.append(self._make(name, 1, 0, duration_s, attributes, failure))
        return self.spans[-1]

    def _span_id(self, number: int) -> str:
        return f"{self._number * 16 + number:016x}"

    def _make(  # noqa: PLR0913, PLR0917 - the fields of a span
        self, name: str, number: int, start_s: float, duration_s: float,
        attributes: Mapping[str, Any], failure: str,
    ) -> dict[str, Any]:  # fmt: skip
        start_ms = self._start_ms + round(start_s * 1000)
        given = dict(attributes) | ({"error.type": failure} if failure else {})
        return {
            "traceId": self._id,
            "spanId": self._span_id(number),
            "name": name,
            "kind": 1,
            "startTimeUnixNano": f"{start_ms}000000",
            "endTimeUnixNano": f"{start_ms + max(round(duration_s * 1000), 1)}000000",
            "attributes": [attribute(key, value) for key, value in given.items()],
            "status": {"code": 2, "message": MESSAGES[failure]} if failure else {},
        }


def vary(question: str, rng: random.Random) -> str:
    """Return a question as another user would type it."""
    text = question
    is_english = detect_language(question) == "en"
    if rng.random() < 0.3 and is_english:
        text = rng.choice(GREETINGS) + text
    if rng.random() < 0.15 and is_english:
        text += rng.choice(ENDINGS)
    if rng.random() < 0.2:
        text = text.lower()
    if rng.random() < 0.18:
        text = misspell(text, rng)
    return text


def reword(question: str, rng: random.Random) -> str:
    """Return a question with some of its words left out or moved."""
    words = question.rstrip("?.! ").split()
    if len(words) > 4:
        del words[rng.randrange(len(words))]
    start = rng.choice(("I mean: ", "Again: ", "Please: ", ""))
    return f"{start}{' '.join(words)}?"


def misspell(text: str, rng: random.Random) -> str:
    """Return a text in which two letters of a long word changed places."""
    words = text.split()
    long = [index for index, word in enumerate(words) if len(word) > 5 and word.isalpha()]
    if not long:
        return text
    index = rng.choice(long)
    at = rng.randrange(1, len(words[index]) - 2)
    word = words[index]
    words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def is_helped(answer: Mapping[str, Any], expected: Mapping[str, Any] | None) -> bool:
    """Return whether an answer helps: it has the facts, or it admits that there are none."""
    if expected is None or not expected["answered"]:
        # An honest "I do not know" satisfies only some.
        return not answer["data"]["answered"] and len(answer["output"]) % 3 == 0
    text = answer["output"].casefold()
    facts = [[fact] if isinstance(fact, str) else fact for fact in expected["facts"]]
    return all(any(word.casefold() in text for word in words) for words in facts)


def handed_over(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of an agent that calls a person."""
    call = {"name": "hand_over", "arguments": {"to": "support team"}}
    text = "A colleague takes over. Please wait a moment."
    return {**answer, "output": text, "tool_calls": [call]}


def message(role: str, text: str) -> str:
    """Return a message as an attribute of the GenAI conventions has it."""
    parts = [{"type": "text", "content": text}]
    return json.dumps([{"role": role, "parts": parts}], ensure_ascii=False)


def attribute(key: str, value: Any) -> dict[str, Any]:
    """Return an attribute in OTLP's JSON."""
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    return {"key": key, "value": {"stringValue": value}}


def format_exports(week: Week) -> Iterator[str]:
    """Yield lines as the Collector writes them: some hundred spans each, in the order of their ends."""
    ordered = sorted(week.spans, key=lambda item: (item[0], item[2]["spanId"]))
    for start in range(0, len(ordered), SPANS_IN_EXPORT):
        chunk = ordered[start : start + SPANS_IN_EXPORT]
        resources = []
        for version in VERSIONS:
            spans = [span for _, name, span in chunk if name == version.name]
            if spans:
                given = {
                    "service.name": "support",
                    "service.version": version.name,
                    "deployment.environment.name": "made-up",
                }
                resources.append({
                    "resource": {"attributes": [attribute(*pair) for pair in given.items()]},
                    "scopeSpans": [{"scope": {"name": "make_week"}, "spans": spans}],
                })  # fmt: skip
        yield json.dumps({"resourceSpans": resources}, ensure_ascii=False, separators=(",", ":"))


def main(folder: Path) -> None:
    """Write the files of the week into a folder."""
    week = make_week()
    traces = "".join(f"{line}\n" for line in format_exports(week)).encode()
    packed = zstandard.ZstdCompressor(level=19).compress(traces)
    (folder / "2026-w46.traces.jsonl.zst").write_bytes(packed)
    scores = "".join(f"{json.dumps(score)}\n" for score in week.scores)
    (folder / "2026-w46.scores.jsonl").write_text(scores)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
