"""What calls of a judge cost: cached tokens, what the endpoint reports, and how a run says it."""

from __future__ import annotations

import json

import pytest

from evalkit.core.prices import TokenCounts
from evalkit.judge.prices import PriceList
from tests.conftest import Project
from tests.support.scripted_server import Asked, Play, ScriptedServer, json_reply, served
from tests.support.stub_judges import completion, honest, read_asking

MILLION = 1_000_000
USAGE = TokenCounts(
    input_tokens=4 * MILLION,
    output_tokens=MILLION,
    cached_tokens=2 * MILLION,
    cache_write_tokens=MILLION,
)


def cost(
    usage: TokenCounts, model: str = "m1", url: str = "https://llm.example/v1", **given: float
) -> float | None:
    listed = PriceList(model=model, url=url, is_local=False, set_prices=given)
    return listed.compute_cost_usd(usage, "")


def test_cached_tokens_have_the_prices_of_the_set_and_without_them_that_of_other_input() -> None:
    assert cost(USAGE, input=1.0, output=10.0) == pytest.approx(14.0)
    assert cost(USAGE, input=1.0, output=10.0, cached_input=0.1) == pytest.approx(12.2)
    assert cost(USAGE, input=1.0, output=10.0, cached_input=0.1, cache_write=1.25) == pytest.approx(
        12.45
    )


def test_cached_tokens_never_count_more_than_all_input() -> None:
    usage = TokenCounts(input_tokens=MILLION, cached_tokens=9 * MILLION, cache_write_tokens=5)
    assert cost(usage, input=1.0, output=10.0, cached_input=0.1) == pytest.approx(0.1)
    assert cost(usage, "gpt-4o", "https://api.openai.com/v1") == pytest.approx(1.25)


def test_writing_to_a_cache_costs_more_where_the_provider_says_so() -> None:
    url = "https://api.anthropic.com"
    plain = cost(TokenCounts(input_tokens=MILLION), "claude-sonnet-4-5", url)
    written = TokenCounts(input_tokens=MILLION, cache_write_tokens=MILLION)
    read = TokenCounts(input_tokens=MILLION, cached_tokens=MILLION)
    assert plain is not None
    assert cost(written, "claude-sonnet-4-5", url) == pytest.approx(1.25 * plain)
    assert cost(read, "claude-sonnet-4-5", url) == pytest.approx(0.1 * plain)


def test_a_reported_cost_counts_before_known_prices_and_after_those_of_the_set() -> None:
    usage = TokenCounts(input_tokens=MILLION, reported_cost_usd=0.5)
    assert cost(usage, "gpt-4o", "https://api.openai.com/v1") == 0.5
    assert cost(usage) == 0.5
    assert cost(usage, input=3.0, output=0.0) == 3.0


def test_a_run_reports_the_share_of_cached_tokens_and_what_they_cost(project: Project) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 810},
        "cost": 0.001,
    }

    def choose(asked: Asked) -> Play:
        said = json.dumps(honest(read_asking(asked.json)))
        return json_reply({**completion(said), "usage": usage})

    project.write("agent.py", "def answer(text):\n    return 'It is Paris.'\n")
    project.write(
        "r.yaml",
        """
        rubric: r
        needs: [reference]
        pass_at: 1
        criteria:
          - name: agrees
            question: Does the answer say what the reference says?
        """,
    )
    with served(ScriptedServer(choose=choose)) as server:
        project.write(
            "set.yaml",
            f"""
            agent: {{python: ./agent.py:answer}}
            judge: {{openai: {{model: m1, base_url: {server.url}/v1}}}}
            metrics: [{{rubric: r.yaml}}]
            cases: [{{id: a, input: Capital?, expected: Paris}}]
            """,
        )
        done = project.evalkit("run", "set.yaml")
        case = project.evalkit("show", "latest", "a").out
        report = project.evalkit("show", "latest", "--format", "json").json
        calls = len(server.asked)
    assert done.code == 0, done.out + done.err
    said = " ".join(done.out.split())
    expected = f"{calls} calls, {calls * 1000:,} tokens in, 81% from the provider's cache, $0.01"
    assert expected in said
    assert "1,010 tokens, 810 of them from the provider's cache" in " ".join(case.split())
    judges = report["run"]["judges"]
    counts = [judges[key] for key in ("calls", "input_tokens", "output_tokens", "cached_tokens")]
    assert counts == [calls, 1000 * calls, 10 * calls, 810 * calls]
    assert judges["cost_usd"] == pytest.approx(0.001 * calls)
    [row] = project.rows()
    assert row["scores"][0]["judgement"]["cached_tokens"] == 810
