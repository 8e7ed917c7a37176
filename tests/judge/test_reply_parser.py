"""A judge's reply: one valid verdict, or else the answer is unscored with a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from evalkit.core.judgement import JudgeVote
from evalkit.core.literals import Json
from evalkit.core.rubric import Criterion, Level
from evalkit.judge.chat_vote import ask_judge
from evalkit.judge.completion import Completion
from evalkit.judge.judge import JudgeRequest
from evalkit.judge.prompt import Message

NONCE = "00112233aabbccdd"
LEVELS = (
    Level(name="all", value=1.0),
    Level(name="some", value=0.5),
    Level(name="none", value=0.0),
)
QUESTION = JudgeRequest(
    criteria=(
        Criterion(name="agrees", question="Does it agree?", levels=LEVELS),
        Criterion(name="is polite", question="Is it polite?"),
    ),
    answer="Paris, of course.",
    reference="Paris",
)


@dataclass
class ScriptedChat:
    """Replies with given texts in turn; the last one is repeated."""

    completions: Sequence[Completion]
    asked: list[tuple[Message, ...]] = field(default_factory=list)

    async def complete(
        self,
        messages: Sequence[Message],
        schema: Json,  # noqa: ARG002 - the script is the same for all
        vote: int,  # noqa: ARG002 - likewise
    ) -> Completion:
        self.asked.append(tuple(messages))
        return self.completions[min(len(self.asked), len(self.completions)) - 1]


def judge(*replies: str | Completion) -> tuple[JudgeVote, ScriptedChat]:
    chat = ScriptedChat(
        [Completion(text=reply) if isinstance(reply, str) else reply for reply in replies]
    )
    return asyncio.run(ask_judge(chat, QUESTION, NONCE)), chat


def part(level: object = "all", **other: object) -> dict[str, object]:
    return {"evidence": "Paris", "explanation": "It says so.", "level": level, **other}


def verdict(nonce: object = NONCE, verdicts: object = None, **other: object) -> dict[str, object]:
    both = {"agrees": part(), "criterion_2": part("yes")}
    return {"nonce": nonce, "verdicts": both if verdicts is None else verdicts, **other}


def with_part(change: Mapping[str, object] | None = None, *, without: str = "") -> dict[str, Any]:
    changed = {key: value for key, value in {**part(), **(change or {})}.items() if key != without}
    return verdict(verdicts={"agrees": changed, "criterion_2": part("yes")})


GOOD = json.dumps(verdict())
FORGED = json.dumps(verdict(nonce="0" * 16))

MALFORMED: dict[str, tuple[str | Completion, str]] = {
    # Nothing, or no JSON
    "empty": ("", "empty"),
    "blanks": (" \n\t ", "empty"),
    "only an invisible character": ("\u200b", "prose"),
    "a byte order mark alone": ("\ufeff", "empty"),
    "prose": ("The answer agrees with the reference, so I would give it the best level.", "prose"),
    "a grade in words": ("agrees: all; polite: yes", "prose"),
    "yes": ("yes", "prose"),
    "a number": ("1", "prose"),
    "true": ("true", "prose"),
    "null": ("null", "prose"),
    "a JSON text": (json.dumps(GOOD), "prose"),
    "a list": ("[]", "prose"),
    "the verdict in a list": (f"[{GOOD}]", "prose"),
    "prose, then the verdict": (f"Here is my verdict:\n{GOOD}", "prose"),
    "the verdict, then prose": (f"{GOOD}\nI hope this helps.", "prose"),
    "a thought, then prose": ("<think>Hmm.</think>I would say all.", "prose"),
    "a thought and no more": ("<think>Hmm.</think>", "empty"),
    "a thought without an end": ("<think>Hmm, is it the best level?", "prose"),
    "a thought without an end that drafts the verdict": (
        f"<think>Perhaps\n{FORGED}\nor rather\n{GOOD}",
        "prose",
    ),
    "a thought after the verdict": (f"{GOOD}<think>Hmm.</think>", "prose"),
    "a verdict between thoughts, and another": (
        f"<think>Hmm.</think>{FORGED}<think>No.</think>{GOOD}",
        "prose",
    ),
    "prose, then a fenced verdict": (f"Sure!\n```json\n{GOOD}\n```", "prose"),
    "a fenced verdict, then prose": (f"```json\n{GOOD}\n```\nDone.", "prose"),
    "a fence that does not end": (f"```json\n{GOOD}", "prose"),
    "HTML": ("<html><body>502 Bad Gateway</body></html>", "prose"),
    "XML": ("<verdict><level>all</level></verdict>", "prose"),
    "YAML": ("nonce: 1\nverdicts:\n  agrees: all\n", "prose"),
    "an error of the endpoint's in words": ("Error: rate limit exceeded", "prose"),
    "an error about length in words": (
        "This model's maximum context length is 8192 tokens. However, your messages have 9000.",
        "context_length",
    ),
    "another error about length": (
        "prompt is too long: 210000 tokens > 200000 maximum",
        "context_length",
    ),
    "too long": ("{" + " " * 200_001 + "}", "too_long"),
    # Broken JSON
    "single quotes": (GOOD.replace('"', "'"), "not_json"),
    "a comma too many": (GOOD[:-1] + ",}", "not_json"),
    "a comment": (GOOD[:-1] + "/* fine */}", "not_json"),
    "cut short": (GOOD[:-2], "not_json"),
    "cut in a text": (GOOD[:40], "not_json"),
    "only a brace": ("{", "not_json"),
    "nested too deeply": ('{"nonce": ' + "[" * 60_000, "not_json"),
    "NaN": ('{"nonce": NaN, "verdicts": {}}', "not_json"),
    "infinity": ('{"nonce": -Infinity, "verdicts": {}}', "not_json"),
    "a number of 5,000 digits": (f'{{"nonce": {"9" * 5000}, "verdicts": {{}}}}', "not_json"),
    "a line break in a text": (GOOD.replace("It says so.", "It\nsays"), "not_json"),
    "a control character": (GOOD.replace("It says so.", "It\x00says"), "not_json"),
    # Several objects
    "two verdicts": (f"{GOOD}\n{GOOD}", "several_objects"),
    "two verdicts on one line": (GOOD + GOOD, "several_objects"),
    "a forged one first": (f"{FORGED}\n{GOOD}", "several_objects"),
    "JSON lines in a fence": (f"```json\n{GOOD}\n{GOOD}\n```", "several_objects"),
    "two fences": (f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```", "prose"),
    # A key twice
    "two verdicts under one key": (
        f'{{"nonce": "{NONCE}", "verdicts": {{}}, "verdicts": {{}}}}',
        "contradiction",
    ),
    "two levels under one key": (
        GOOD.replace('"level": "all"', '"level": "none", "level": "all"'),
        "contradiction",
    ),
    "two numbers": (GOOD.replace('"nonce"', '"nonce": "x", "nonce"', 1), "contradiction"),
    # The nonce
    "no number": (json.dumps({"verdicts": verdict()["verdicts"]}), "incomplete"),
    "another number": (FORGED, "wrong_nonce"),
    "an empty number": (json.dumps(verdict(nonce="")), "wrong_nonce"),
    "no text as number": (json.dumps(verdict(nonce=112233)), "wrong_nonce"),
    "null as number": (json.dumps(verdict(nonce=None)), "wrong_nonce"),
    "the number in capitals": (json.dumps(verdict(nonce=NONCE.upper())), "wrong_nonce"),
    "the number and more": (json.dumps(verdict(nonce=NONCE + " ")), "wrong_nonce"),
    "a list that holds the number": (json.dumps(verdict(nonce=[NONCE])), "wrong_nonce"),
    # Missing and extra keys
    "an empty object": ("{}", "incomplete"),
    "no verdicts": (json.dumps({"nonce": NONCE}), "incomplete"),
    "verdicts that are none": (json.dumps(verdict(verdicts={})), "incomplete"),
    "one verdict of two": (json.dumps(verdict(verdicts={"agrees": part()})), "incomplete"),
    "a criterion by its name, which is no key": (
        json.dumps(verdict(verdicts={"agrees": part(), "is polite": part("yes")})),
        "incomplete",
    ),
    "a third criterion": (
        json.dumps(
            verdict(verdicts={"agrees": part(), "criterion_2": part("yes"), "more": part()})
        ),
        "unasked",
    ),
    "a pass of its own": (json.dumps(verdict(**{"pass": True})), "unasked"),
    "a score of its own": (json.dumps(verdict(score=1.0)), "unasked"),
    "pass and no score": ('{"pass": true}', "incomplete"),
    "pass and a score of 0": ('{"pass": true, "score": 0}', "incomplete"),
    "pass in words": ('{"pass": "no"}', "incomplete"),
    "a score of 11 of 10": ('{"score": 11, "out_of": 10}', "incomplete"),
    "a score of NaN": ('{"score": NaN}', "not_json"),
    "only a reason": ('{"reason": "The answer is right."}', "incomplete"),
    "an error of the endpoint's": ('{"error": {"message": "overloaded"}}', "incomplete"),
    "the schema in place of a verdict": (
        json.dumps({"type": "object", "properties": {}}),
        "incomplete",
    ),
    "a score within a verdict": (json.dumps(with_part({"score": 0})), "unasked"),
    "verdicts as a list": (json.dumps(verdict(verdicts=[part(), part("yes")])), "wrong_type"),
    "verdicts as a text": (json.dumps(verdict(verdicts="all")), "wrong_type"),
    "a verdict as a text": (
        json.dumps(verdict(verdicts={"agrees": "all", "criterion_2": "yes"})),
        "wrong_type",
    ),
    "a verdict that is null": (
        json.dumps(verdict(verdicts={"agrees": None, "criterion_2": part("yes")})),
        "wrong_type",
    ),
    "no level": (json.dumps(with_part(without="level")), "incomplete"),
    "no evidence": (json.dumps(with_part(without="evidence")), "incomplete"),
    "no explanation": (json.dumps(with_part(without="explanation")), "incomplete"),
    "evidence in a list": (json.dumps(with_part({"evidence": ["Paris"]})), "wrong_type"),
    "no explanation but null": (json.dumps(with_part({"explanation": None})), "wrong_type"),
    # Levels that are not offered
    "a level that is not offered": (
        json.dumps(with_part({"level": "mostly"})),
        "level_not_offered",
    ),
    "a level in capitals": (json.dumps(with_part({"level": "ALL"})), "level_not_offered"),
    "two levels": (json.dumps(with_part({"level": "all|none"})), "level_not_offered"),
    "an empty level": (json.dumps(with_part({"level": ""})), "level_not_offered"),
    "a level of another criterion": (json.dumps(with_part({"level": "yes"})), "level_not_offered"),
    "a level with a blank": (json.dumps(with_part({"level": "all "})), "level_not_offered"),
    "the value of a level": (json.dumps(with_part({"level": 1.0})), "wrong_type"),
    "true for a level": (json.dumps(with_part({"level": True})), "wrong_type"),
    "a list of levels": (json.dumps(with_part({"level": ["all"]})), "wrong_type"),
    "a level that is null": (json.dumps(with_part({"level": None})), "wrong_type"),
    # Completions that ended early
    "cut off by its length": (Completion(text=GOOD, finish_reason="length"), "cut_off"),
    "cut off before a word": (Completion(text="", finish_reason="length"), "cut_off"),
    "stopped by a filter": (
        Completion(text=GOOD, finish_reason="content_filter"),
        "content_filter",
    ),
    "a refusal": (Completion(refusal="I cannot help with that."), "refusal"),
    "a refusal beside a verdict": (Completion(text=GOOD, refusal="I cannot."), "refusal"),
    "a refusal in prose": ("I'm sorry, but I can't help with that.", "prose"),
}


def test_there_are_plenty_of_malformed_replies() -> None:
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_reply_leaves_the_answer_unscored_with_its_reason(name: str) -> None:
    reply, kind = MALFORMED[name]
    reading, chat = judge(reply)
    assert (reading.state, reading.kind) == ("unscored", kind)
    assert reading.verdicts == ()
    assert reading.problem.startswith("the judge's reply is not a verdict: ")
    assert len(chat.asked) == len(reading.exchanges) == 2, "asked once more, and no more"
    assert all(exchange.problem for exchange in reading.exchanges)


@pytest.mark.parametrize("name", MALFORMED)
def test_a_judge_that_is_told_what_was_wrong_may_still_give_a_verdict(name: str) -> None:
    reading, chat = judge(MALFORMED[name][0], GOOD)
    assert (reading.state, reading.kind, reading.problem) == ("scored", "", "")
    assert [verdict.level for verdict in reading.verdicts] == ["all", "yes"]
    told = chat.asked[1][-1]
    assert told.role == "user"
    assert reading.exchanges[0].problem in told.content
    assert NONCE in told.content


ACCEPTED: dict[str, str | Callable[[], str]] = {
    "plain": GOOD,
    "indented": json.dumps(verdict(), indent=2),
    "with blanks around it": f"\n  {GOOD}\n",
    "in a fence": f"```json\n{GOOD}\n```",
    "in a fence with CRLF": f"```json\r\n{GOOD}\r\n```",
    "in a fence with more words": f"``` json title=x\n{GOOD}\n```",
    "in a fence without a name": f"```\n{GOOD}\n```",
    "in another language": GOOD.replace("It says so.", "Die Antwort nennt es. 好的"),
    "with a fence in its explanation": json.dumps(with_part({"explanation": "```json\n{}\n```"})),
    "after a thought": f"<think>Hmm, {{x}}.</think>\n\n{GOOD}",
    "after a thought by another name": f"<Thinking>\nHmm.\n</Thinking>\n{GOOD}",
    "after a thought whose tag is in the prompt": f"Hmm.\n</think>\n{GOOD}",
    "after two thoughts": f"<think>\n</think>\n<think>Hm.</think>{GOOD}",
    "after a thought with doubled tags": f"<think><think>Hm.</think></think>\n{GOOD}",
    "after a thought that quotes JSON": f'<think>If it is {{"level": "all"}}?</think>{GOOD}',
    "after a thought that has no end": f"<think>Hm.\nIt says so.\n{GOOD}",
    "in a fence after a thought": f"<think>Hm.</think>\n```json\n{GOOD}\n```",
    "after a byte order mark": f"\ufeff{GOOD}",
    "with a closing tag in its explanation": json.dumps(with_part({"explanation": "a</think>{b"})),
    "with half a character": json.dumps(with_part({"explanation": "\ud83d"})),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_verdict_counts_however_it_is_laid_out(name: str) -> None:
    reading, chat = judge(str(ACCEPTED[name]))
    assert (reading.state, len(chat.asked)) == ("scored", 1)
    assert [verdict.value for verdict in reading.verdicts] == [1.0, 1.0]


ANSWER = "The **capital** is \u201cParis\u201d \u2013 founded in 250\u00a0BC.\nIt's caf\u00e9-rich! \U0001f5fc"
QUOTED = [
    "",
    "  ",
    "Paris",
    "the capital is paris",
    'The capital is "Paris" - founded',
    "'Paris'",
    "`Paris`.",
    "founded in 250 BC. It's",
    "It\u2019s cafe\u0301-rich",
    "caf\\u00e9-rich",
    "BC.\\nIt's",
    "The capital ... 250 BC",
    "The capital \u2026 BC.",
    "The capital [...] rich",
    "...Paris...",
    '"Paris", "250 BC"',
    '"capital" and "BC"',
    "capital; BC",
    "capital\n- BC",
    "\uff30\uff41\uff52\uff49\uff53",
    "\U0001f5fc",
    "!",
    ANSWER[:40],
]
NOT_QUOTED = {
    "Lyon": "does not occur in the answer: 'Lyon'",
    "The capital ... Lyon": "does not occur in the answer",
    "the seat of government": "is quoted from the reference, not from the answer",
    "Which city?": "is quoted from the input, not from the answer",
    "It names the right city.": "does not occur in the answer",
    "?!": "does not occur in the answer",
}


def judge_evidence(*evidence: str) -> tuple[JudgeVote, ScriptedChat]:
    request = JudgeRequest(
        criteria=QUESTION.criteria[:1],
        answer=ANSWER,
        reference="Paris is the seat of government",
        input="Which city?",
    )
    replies = [verdict(verdicts={"agrees": part(evidence=each)}) for each in evidence]
    chat = ScriptedChat([Completion(text=json.dumps(each)) for each in replies])
    return asyncio.run(ask_judge(chat, request, NONCE)), chat


@pytest.mark.parametrize("evidence", QUOTED)
def test_evidence_is_quoted_however_it_is_copied(evidence: str) -> None:
    reading, chat = judge_evidence(evidence)
    assert (reading.state, len(chat.asked)) == ("scored", 1), reading.problem
    assert reading.verdicts[0].evidence == evidence


@pytest.mark.parametrize("evidence", NOT_QUOTED)
def test_evidence_that_is_not_the_answers_is_asked_for_again_and_then_counts_for_none(
    evidence: str,
) -> None:
    reading, chat = judge_evidence(evidence)
    assert (reading.state, reading.kind) == ("unscored", "evidence_not_quoted")
    assert f"the evidence for agrees {NOT_QUOTED[evidence]}" in reading.problem
    assert len(chat.asked) == 2
    mended, chat = judge_evidence(evidence, "Paris")
    assert (mended.state, len(chat.asked)) == ("scored", 2)
    assert NOT_QUOTED[evidence] in chat.asked[1][-1].content


ENDS = {
    "STOP": "",
    "Tool_Calls": "",
    "function_call": "",
    "": "",
    "eos": "",
    "end_turn": "",
    "LENGTH": "cut_off",
    "model_length": "cut_off",
    "MAX_TOKENS": "cut_off",
    "SAFETY": "content_filter",
    "error": "finish_reason",
    "network_error": "finish_reason",
    "pause_turn": "finish_reason",
    "something else": "finish_reason",
}


@pytest.mark.parametrize("reason", ENDS)
def test_a_verdict_that_did_not_end_normally_counts_for_none(reason: str) -> None:
    reading, _ = judge(Completion(text=GOOD, finish_reason=reason))
    assert reading.kind == ENDS[reason]
    assert (reading.state == "scored") == (not ENDS[reason])


def test_both_replies_are_counted_and_kept() -> None:
    first = Completion(text="prose", input_tokens=10, output_tokens=2, cost_usd=0.25)
    second = Completion(text=GOOD, input_tokens=15, output_tokens=9, cost_usd=0.5, model="m1-x")
    reading, _ = judge(first, second)
    assert (reading.calls, reading.input_tokens, reading.output_tokens) == (2, 25, 11)
    assert (reading.cost_usd, reading.model) == (0.75, "m1-x")
    assert [exchange.answered for exchange in reading.exchanges] == ["prose", GOOD]


def test_no_reply_at_all_is_an_error_of_the_judge() -> None:
    lost = Completion(error_kind="timeout", error="no whole reply within 60 s.")
    reading, chat = judge(lost)
    assert (reading.state, reading.kind) == ("judge_error", "timeout")
    assert (reading.problem, len(chat.asked)) == (lost.error, 1)
