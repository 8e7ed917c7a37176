"""The wrong guesses of newcomers: each is answered once, with what to write instead."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalkit.commands.validate import validate
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.evalset.loader import load_evalset

AGENT = "agent: {python: ./bot.py:answer}\n"
CASES = "cases: [{id: a, input: q, expected: x}]\n"

FOREIGN_FILES = {
    "promptfooconfig.yaml": (
        "prompts: ['{{q}}']\nproviders: [openai:gpt-4]\ntests:\n- vars: {q: hi}\n",
        "promptfoo",
        (
            "`prompts` and `providers` -> `agent`, `tests` -> `cases`, `vars` -> `input`, "
            "`assert` -> `metrics`. A case: `- {id: returns, input: How long may I return it?, "
            "expected: 30 days, metrics: [{contains: {all: true}}]}`"
        ),
    ),
    "tests.yaml": (
        "- vars: {q: hi}\n  assert: [{type: equals, value: x}]\n",
        "promptfoo",
        "`vars`",
    ),
    "goldens.json": (
        '[{"input": "a", "expected_output": "b", "actual_output": null}]',
        "DeepEval",
        "`name` -> `id`, `expected_output` -> `expected`",
    ),
    "conversations.json": (
        '[{"scenario": "a", "expected_outcome": "b", "turns": []}]',
        "DeepEval",
        "`expected`",
    ),
    "registry.yaml": (
        (
            "match:\n  id: match.dev.v0\n  metrics: [accuracy]\nmatch.dev.v0:\n"
            "  class: evals.elsuite.basic.match:Match\n  args: {samples_jsonl: match/samples.jsonl}\n"
        ),
        "OpenAI Evals",
        "`samples_jsonl` -> `cases`",
    ),
    "samples.jsonl": (
        '{"input": [{"role": "user", "content": "a"}], "ideal": "b"}\n' * 3,
        "OpenAI Evals",
        "`ideal` -> `expected`",
    ),
    "eval.json": (
        '{"object": "eval", "data_source_config": {}, "testing_criteria": []}',
        "OpenAI Evals",
        "`class` and `testing_criteria` -> `metrics`",
    ),
    "output_items.json": (
        '{"object": "list", "data": [{"datasource_item": {}, "results": []}]}',
        "OpenAI Evals",
        "`item` -> `input`",
    ),
    "home.evalset.json": (
        '{"eval_set_id": "x", "name": "x", "eval_cases": [{"eval_id": "1", "conversation": []}]}',
        "ADK",
        "`eval_cases` -> `cases`, `eval_id` -> `id`",
    ),
    "flat.test.json": (
        '[{"query": "a", "expected_tool_use": [], "reference": "b"}]',
        "ADK",
        "`tool_uses` -> `expected: {tool_calls: ...}`",
    ),
    "langsmith.json": (
        '{"version": 1, "dataset": {"name": "x"}, "examples": [{"inputs": {}, "outputs": {}}]}',
        "LangSmith",
        "`examples` -> `cases`, `inputs` -> `input`",
    ),
    "mlflow.json": ('[{"inputs": {"q": "a"}, "expectations": {}}]', "MLflow", "`expected`"),
    "time_range.yaml": (
        "name: x\ncases:\n- {name: a, inputs: {q: 1}, expected_output: b}\nevaluators: [Equals]\n",
        "pydantic-evals",
        "`evaluators` -> `metrics`",
    ),
    "biology.jsonl": ('{"input": "a", "target": "b"}\n', "Inspect", "`target` -> `expected`"),
    "ragas.jsonl": ('{"user_input": "a", "reference": "b"}\n', "Ragas", "`user_input` -> `input`"),
    "azure.jsonl": ('{"query": "a", "ground_truth": "b"}\n', "Azure AI evaluation", "`query`"),
}
"""Files of other tools, what they are of, and a part of the mapping."""

GUESSES = {
    # the agent
    "agent: ./bot.py:answer": "agent must be a mapping, not text. Write `agent: {python: ./bot.py:answer}`.",
    "agent: bot.py:answer": "agent must be a mapping, not text. Write `agent: {python: ./bot.py:answer}`.",
    "agent: bot:answer": "agent must be a mapping, not text. Write `agent: {python: bot:answer}`.",
    "agent: bot.py": "agent must be a mapping, not text. Write `agent: {python: ./bot.py:FUNCTION}`.",
    "agent: file://bot.py:answer": "agent must be a mapping, not text. Write `agent: {python: bot.py:answer}`.",
    "agent: https://a.test/ask": "agent must be a mapping, not text. Write `agent: {http: https://a.test/ask}`.",
    "agent: python bot.py --fast": "agent must be a mapping, not text. Write `agent: {command: [python, bot.py, --fast]}`.",
    "agent: 'exec: python bot.py'": "agent must be a mapping, not text. Write `agent: {command: [python, bot.py]}`.",
    "agent: [python, bot.py]": "agent must be a mapping, not a list. Write `agent: {command: [python, bot.py]}`.",
    "agent: openai:gpt-4o": "agent must be a mapping, not text. Write `agent: {openai: {model: gpt-4o}}`.",
    "agent: openai:chat:gpt-4o": "agent must be a mapping, not text. Write `agent: {openai: {model: gpt-4o}}`.",
    "agent: answers.jsonl": "agent must be a mapping, not text. Write `agent: {recorded: answers.jsonl}`.",
    "agent: {pyhton: ./bot.py:answer}": "agent: unknown key 'pyhton'; did you mean 'python'?",
    "agent: {function: ./bot.py:answer}": "agent: unknown key 'function'; did you mean 'python'?",
    "agent: {url: https://a.test/ask}": "agent: unknown key 'url'; did you mean 'http'?",
    "agent: {model: gpt-4o}": "agent: unknown key 'model'. It belongs to a kind of agent, as in `openai: {model: ...}`.",
    "agent: {python: ./bot.py:answer, timeout: 3}": "agent: unknown key 'timeout'; did you mean 'timeout_s'?",
    "agent: {python: ./bto.py:answer}": "python: ./bto.py does not exist; did you mean 'bot.py'?",
    "agnet: {python: ./bot.py:answer}": "eval set: unknown key 'agnet'; did you mean 'agent'?",
    "provider: {python: ./bot.py:answer}": "eval set: unknown key 'provider'; did you mean 'agent'?",
    "model: gpt-4o": "eval set: unknown key 'model'. It belongs to the agent, as in `agent: {openai: {model: ...}}`.",
    "agent: ./bot.py:answer\nmetrics: [exact_match, tool_call_count]": "agent must be a mapping, not text. Write `agent: {python: ./bot.py:answer}`.",
    # the set
    "name: x": "eval set: unknown key 'name'; did you mean 'evalset'?",
    "version: 1": "eval set: unknown key 'version'. Remove it: an eval set has no version. That of the agent is `agent: {version: ...}`.",
    "repeat: 3": "eval set: unknown key 'repeat'; did you mean 'trials'?",
    "trials: '3'": "eval set: trials must be a whole number, not '3'. Write 3.",
    "max_cost_usd: $5": "eval set: max_cost_usd must be a number such as 20 or 0.5, not '$5'. Write 5.",
    "judge: gpt-4o": "judge 'gpt-4o' is unknown. Write `judge: {openai: {model: gpt-4o}}`.",
    "judge: claude-haiku-4-5": "judge 'claude-haiku-4-5' is unknown. Write `judge: {anthropic: {model: claude-haiku-4-5}}`.",
    "judge: {model: gpt-4o}": "judge: unknown key 'model'. It belongs to a kind of judge, as in `openai: {model: ...}`.",
    "description:\n\tx": "a tab cannot indent YAML; use spaces.",
    # thresholds
    "gate: [{metric: exact_match, min: '80%'}]": "gate: min must be a number such as 20 or 0.5, not '80%'. Write 0.8.",
    "gate: [{metric: exact_match, min: '>= 0.8'}]": "gate: min must be a number such as 20 or 0.5, not '>= 0.8'. Write 0.8.",
    "gate: [{metric: exact_match, min: '0,8'}]": "gate: min must be a number such as 20 or 0.5, not '0,8'. Write 0.8.",
    "gate: [{metric: exact_match, min: '0.8'}]": "gate: min must be a number such as 20 or 0.5, not '0.8'. Write 0.8.",
    "gate: [{metric: exact_match, min: high}]": "gate: min must be a number such as 20 or 0.5, not 'high'.",
    "gate: [{metric: exact_match, min: 80}]": "gate: min is 80, but 'exact_match' is a share in 0..1. For 80 percent write 0.8.",
    "gate: [{metric: exact_match, max_drop: 2%}]": "gate: max_drop must be a number such as 20 or 0.5, not '2%'. Write 0.02.",
    "gate: [{metric: exact_match, max_drop: 2 pt}]": "gate: max_drop must be a number such as 20 or 0.5, not '2 pt'. Write 0.02.",
    "metrics: [exact_match, latency_s]\ngate: [{metric: latency_s, max: 200ms}]": "gate: max must be a number such as 20 or 0.5, not '200ms'. Write 0.2.",
    "gate: [{metric: exact_match, threshold: 0.8}]": "gate: unknown key 'threshold'; did you mean 'min'?",
    "gate: {exact_match: 0.8}": "gate must be a list, not a mapping. Write `gate: [{metric: exact_match, min: 0.8}]`.",
    "gate: {metric: exact_match, min: 0.8}": "gate must be a list, not a mapping. Begin it with '- '.",
    "gate: exact_match >= 80%": "gate must be a list, not text. Write `gate: [{metric: exact_match, min: 0.8}]`.",
    "gate: [exact_match < 0.3]": "gate: a threshold names its metric and its limit. Write `{metric: exact_match, max: 0.3}`.",
    "gate: [{exact_match: 0.8}]": "gate: a threshold names its metric and its limit. Write `{metric: exact_match, min: 0.8}`.",
    "thresholds: [{metric: exact_match, min: 0.8}]": "eval set: unknown key 'thresholds'; did you mean 'gate'?",
    # metrics
    "metrics: exact_match": "metrics must be a list, not text. Write [exact_match].",
    "metrics: [{type: contains, value: x}]": "eval set: a metric entry has the metric's name as its key. Write `{contains: x}`.",
    "metrics: [{name: contains}]": "eval set: a metric entry has the metric's name as its key. Write `- contains`.",
    "metrics: [{exact_match: {}, threshold: 0.8}]": "eval set: a metric entry has the metric's name as its key. A limit belongs in the gate, as in `gate: [{metric: exact_match, min: ...}]`.",
    "scorers: [exact_match]": "eval set: unknown key 'scorers'; did you mean 'metrics'?",
    "metrics: [exact-match]": "metric 'exact-match': there is none of this name. Did you mean 'exact_match'?",
    "metrics: [accuracy]": "metric 'accuracy': there is none of this name. Use 'exact_match'.",
    "metrics: [equals]": "metric 'equals': there is none of this name. Use 'exact_match'.",
    "metrics: [{icontains: x}]": "metric 'icontains': there is none of this name. Use 'contains'.",
    "metrics: [not-contains-any]": "metric 'not-contains-any': there is none of this name. Use 'not_contains'.",
    "metrics: [is-json]": "metric 'is-json': there is none of this name. Use 'json'.",
    "metrics: [rouge-n]": "metric 'rouge-n': there is none of this name. The nearest is 'similarity', which compares characters.",
    "metrics: [tool_trajectory_avg_score]": "metric 'tool_trajectory_avg_score': there is none of this name. Use 'tool_calls'.",
    "metrics: [latency]": "metric 'latency': there is none of this name. Use 'latency_s'.",
    "metrics: [javascript]": "metric 'javascript': there is none of this name. Write a plugin; see evalkit help plugins.",
    **{
        f"metrics: [{name}]": f"metric {name!r}: there is none of this name. Let a judge apply a rubric, or list "
        "`criteria:` on the case; see evalkit help judging."
        for name in (
            "llm-rubric",
            "answer_relevancy",
            "g-eval",
            "LLMJudge",
            "faithfulness",
            "factuality",
        )
    },
}
"""What a set says in place of, or beside, its agent; and the whole answer after `file:line: `."""

CASE_GUESSES = {
    **{
        f"[{{id: a, input: q, {key}: x}}, {{id: b, input: q, {key}: x}}]": f"case 'a': unknown key {key!r}; did you "
        "mean 'expected'? The same in 1 other case."
        for key in (
            *("expect", "answer", "reference", "ideal", "target", "output", "label"),
            *("expected_output", "expectedOutput", "ground_truth"),
        )
    },
    **{
        f"[{{id: a, {key}: q, expected: x}}]": f"case 'a': unknown key {key!r}; did you mean 'input'?"
        for key in ("question", "prompt", "query", "inputs", "messages", "vars")
    },
    "[{name: a, input: q, expected: x}]": "case: unknown key 'name'; did you mean 'id'?",
    "[{input: q, expected: x}, {input: r, expected: x}, {input: s, expected: x}]": "case: id is missing. Add `id:`. The same in 2 other cases.",
    "[{id: a, input: q, expected: x, metric: contains}]": "case 'a': unknown key 'metric'; did you mean 'metrics'?",
    "[{id: a, input: q, expected: x, assert: contains}]": "case 'a': unknown key 'assert'; did you mean 'metrics'?",
    "[{id: a, input: q, expected: x, labels: b}]": "case 'a': unknown key 'labels'; did you mean 'tags'?",
    "[{id: a, input: q, expected: x, tags: b}]": "case 'a': tags must be a list of texts, not text. Write [b].",
    "[{id: a, input: q, expected: x, description: b}]": "case 'a': unknown key 'description'. Write it under `metadata`, or as a comment.",
    "[{id: a, input: {city: Rome}, expected: x}]": "case 'a': input must be text or a list of turns, not a mapping. Write it as one text. "
    "Values for templates and metrics belong under `metadata`.",
    "[{id: a, input: {role: user, content: q}, expected: x}]": "case 'a': input must be text or a list of turns, not a mapping. Begin each turn with '- '.",
    "{a: {input: q, expected: x}, b: {input: q, expected: x}}": "eval set: cases must be a list, not a mapping by id. Write each as a list item, as in '- id: a'.",
    "{id: a, input: q, expected: x}": "eval set: cases must be a list, not a mapping. Begin each case with '- id:'.",
    "[{description: hi, vars: {q: hi}, assert: []}, {description: ho, vars: {q: ho}, assert: []}]": "this is in the format of promptfoo (keys "
    "'description', 'vars', 'assert'). Rewrite `prompts` and `providers` -> `agent`, `tests` -> `cases`, "
    "`vars` -> `input`, `assert` -> `metrics`. A case: `- {id: returns, input: How long may I return it?, "
    "expected: 30 days, metrics: [{contains: {all: true}}]}`. See evalkit help evalset.",
    "cases/al.csv": "case file 'cases/al.csv' does not exist; did you mean 'all.csv'?",
}
"""What a set says under `cases:`, and the whole answer."""


@pytest.fixture
def complain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[str]]:
    """Write a set into a project with a bot, and return what `validate` says about it."""
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()
    Path("bot.py").write_text("def answer(text):\n    return text\n")
    Path("cases").mkdir()
    Path("cases/all.csv").write_text("id,input,expected\na,q,x\n")
    context = Context(
        cwd=tmp_path,
        environ=dict(os.environ),
        now=lambda: datetime.now(UTC),
        token=lambda: "token",
        open_progress=lambda _: pytest.fail("validate runs nothing"),
        say=lambda _: None,
    )

    def check(name: str, content: str) -> list[str]:
        Path(name).write_text(content)
        with pytest.raises(InvalidInput) as refused:
            validate([Path(name)], context)
        return str(refused.value).splitlines()

    return check


@pytest.mark.parametrize("name", FOREIGN_FILES)
def test_a_file_of_another_tool_is_answered_once(
    name: str, complain: Callable[[str, str], list[str]]
) -> None:
    content, tool, mapping = FOREIGN_FILES[name]
    # Also where a project file has an agent and thresholds for a set with cases.
    Path("evalkit.yaml").write_text(
        AGENT + "metrics: [exact_match]\ngate: [{metric: exact_match, tag: x, min: 1}]\n"
    )
    [line] = complain(name, content)
    assert line.startswith(f"{name}:1: this is in the format of {tool} (keys '")
    assert mapping in line
    assert line.endswith("See evalkit help evalset.")
    assert "Known keys" not in line


@pytest.mark.parametrize("name", ["goldens.json", "samples.jsonl", "ragas.jsonl"])
def test_a_case_file_of_another_tool_is_answered_once(
    name: str, complain: Callable[[str, str], list[str]]
) -> None:
    content, tool, _ = FOREIGN_FILES[name]
    Path(name).write_text(content)
    [line] = complain("set.yaml", f"{AGENT}cases: [cases/all.csv, {name}]\n")
    assert line.startswith(f"{name}:1: this is in the format of {tool} ")


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        ("cases.csv", "id,input,expected\na,q,x\n", "this is a list of cases, not an eval set."),
        ("cases.yaml", "- {id: a, input: q}\n", "Name it in a set, as in `cases: cases.yaml`"),
        ("own.jsonl", '{"id": "a", "input": "q"}\n', "this is a list of cases, not an eval set."),
        ("bot.py", "def answer(text): ...\n", "`agent: {python: ./bot.py:FUNCTION}`"),
    ],
)
def test_a_file_that_is_no_set_is_answered_with_where_it_belongs(
    name: str, content: str, answer: str, complain: Callable[[str, str], list[str]]
) -> None:
    [line] = complain(name, content)
    assert line.startswith(f"{name}:1: ")
    assert answer in line


@pytest.mark.parametrize("guess", GUESSES)
def test_a_wrong_guess_is_answered_once(
    guess: str, complain: Callable[[str, str], list[str]]
) -> None:
    has_agent = guess.startswith(("agent:", "agnet:", "provider:", "model:"))
    [line] = complain("set.yaml", CASES + ("" if has_agent else AGENT) + guess + "\n")
    assert line.startswith("set.yaml:")
    assert line.partition(": ")[2] == GUESSES[guess]


@pytest.mark.parametrize("guess", CASE_GUESSES)
def test_a_wrong_guess_about_cases_is_answered_once(
    guess: str, complain: Callable[[str, str], list[str]]
) -> None:
    # The tag of a case that cannot be read is not called unknown as well.
    [line] = complain("set.yaml", f"{AGENT}cases: {guess}\n")
    assert line.partition(": ")[2] == CASE_GUESSES[guess]


def test_a_column_of_another_name_is_answered_once(
    complain: Callable[[str, str], list[str]],
) -> None:
    Path("questions.csv").write_text("name,question,answer\na,q,x\n")
    lines = complain("set.yaml", AGENT + "cases: questions.csv\n")
    assert lines == [
        "questions.csv:1: unknown column 'name'; did you mean 'id'?",
        "questions.csv:1: unknown column 'question'; did you mean 'input'?",
        "questions.csv:1: unknown column 'answer'; did you mean 'expected'?",
    ]


def test_unreadable_cases_do_not_make_tags_unknown(
    complain: Callable[[str, str], list[str]],
) -> None:
    content = AGENT + "cases: cases/al.csv\ngate: [{must_pass: [smoke]}]\n"
    [line] = complain("set.yaml", content)
    assert "'cases/al.csv' does not exist" in line


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("evalsets/suport.yaml", "; did you mean 'evalsets/support.yaml'?"),
        ("support.yaml", "; did you mean 'evalsets/support.yaml'?"),
        ("evalset/support.yaml", "; did you mean 'evalsets/support.yaml'?"),
        ("evalsets/support", "; did you mean 'evalsets/support.yaml'?"),
        ("other.yaml", "."),
    ],
)
def test_a_wrong_path_is_answered_with_the_right_one(
    typed: str, offered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evalsets").mkdir()
    Path("evalsets/support.yaml").write_text(AGENT + CASES)
    Path("node_modules").mkdir()
    Path("node_modules/other.yaml").write_text("")

    _, problems = load_evalset(Path(typed), root=tmp_path)
    assert [str(each) for each in problems] == [f"{typed}: the file does not exist{offered}"]


@pytest.mark.parametrize(
    "content",
    [
        "x-match: &m {class: a, args: b}\ncases: [{id: a, input: q, metadata: *m}]\n",
        "evalset: s\nx-inputs: &m {inputs: a, outputs: b}\ncases: [{id: a, input: q, metadata: *m}]\n",
        "cases: [{id: a, input: q, metadata: {vars: 1, assert: 2, ideal: 3, target: 4}}]\n",
    ],
)
def test_a_set_of_evalkit_is_not_taken_for_one_of_another_tool(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("set.yaml").write_text(content)
    evalset, problems = load_evalset(Path("set.yaml"), root=tmp_path)
    assert not problems
    assert [case.id for case in evalset.cases] == ["a"]
