"""Limits of cost as typed: of the agent, of the judge, and of a whole run; spent money stays counted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.conftest import Done, Project
from tests.support.scripted_server import ScriptedServer, json_reply, served, slow
from tests.support.stub_judges import completion, honest, replying

AGENT = """
import os, time

def answer(text):
    with open("calls.log", "a") as log:
        log.write("x")
    time.sleep(0.02)
    return REPLY
"""

RUBRIC = """
rubric: correctness
needs: [reference]
pass_at: 1
criteria:
  - name: agrees
    question: Does the answer say what the reference says?
"""

PRICES = "prices: {input: 1000, output: 0}"
"""0.1 USD for each call of the stub judge."""

COSTS_A_TENTH = '{"output": text + ": it is Paris.", "cost_usd": 0.1}'


def write_set(
    project: Project, head: str, *, cases: int = 30, reply: str = COSTS_A_TENTH, judge: str = ""
) -> None:
    project.write("agent.py", AGENT.replace("REPLY", reply))
    project.write("correctness.yaml", RUBRIC)
    metric = "rubric: correctness.yaml" if judge else "contains"
    rows = "".join(f"  - {{id: c{n}, input: q{n}, expected: Paris}}\n" for n in range(cases))
    judged = f"judge: {judge}\n" if judge else ""
    project.write("set.yaml", f"{head}\n{judged}metrics: [{metric}]\ncases:\n{rows}")


def run(project: Project, *options: str) -> Done:
    return project.evalkit("run", "set.yaml", *options)


def agent_calls(project: Project) -> int:
    log = project.folder / "calls.log"
    return len(log.read_text()) if log.exists() else 0


def folded(done: Done) -> str:
    return " ".join((done.out + done.err).split())


def test_the_agents_limit_ends_the_run_and_a_resumed_run_counts_what_was_spent(
    project: Project, git: Callable[..., str]
) -> None:
    write_set(project, "agent: {python: ./agent.py:answer, max_cost_usd: 1}")
    project.write(".gitignore", "calls.log\n.evalkit\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "set")
    done = run(project, "--format", "json", "--concurrency", "8")
    assert (done.code, agent_calls(project)) == (3, 10), done.out + done.err
    assert done.json["tally"]["counts"] == {**done.json["tally"]["counts"], "not_run": 20}
    assert (
        "agent.max_cost_usd is 1 USD, and the agent's calls have cost 1 USD" in done.json["reason"]
    )
    assert len(project.rows()) == 10
    resume = re.search(r"continue with: evalkit (run .+)$", done.json["reason"])
    assert resume, done.json["reason"]
    assert project.evalkit(*resume[1].split()).code == 3
    assert agent_calls(project) == 10, "the limit was spent before"

    raised = (project.folder / "set.yaml").read_text().replace("max_cost_usd: 1", "max_cost_usd: 9")
    project.write("set.yaml", raised)
    resumed = project.evalkit(*resume[1].split())
    assert (resumed.code, agent_calls(project)) == (0, 30), resumed.out + resumed.err


def test_a_run_that_needs_exactly_its_limit_ends_as_without_one(project: Project) -> None:
    write_set(project, "agent: {python: ./agent.py:answer}", cases=10)
    done = run(project, "--max-cost-usd", "1")
    assert (done.code, agent_calls(project)) == (0, 10), done.out


def test_the_runs_limit_covers_agent_and_judge_and_can_be_raised_where_it_is_resumed(
    project: Project,
) -> None:
    with served(ScriptedServer(choose=lambda asked: slow(replying(honest)(asked), 0.02))) as server:
        judge = f"{{openai: {{model: m1, base_url: {server.url}/v1}}, {PRICES}}}"
        head = "max_cost_usd: 2\nagent: {python: ./agent.py:answer}"
        write_set(project, head, cases=10, judge=judge)
        done = run(project)
        assert done.code == 3, done.out + done.err
        spent = agent_calls(project) + len(server.asked)
        assert spent == 20, "0.1 USD for each call of either"
        assert "the run's max_cost_usd is 2 USD, and its calls have cost 2 USD" in folded(done)
        resume = re.search(r"evalkit run (\S+ --resume .+? --max-cost-usd 4)", folded(done))
        assert resume, done.out
        raised = (project.folder / "set.yaml").read_text().replace("usd: 2\n", "usd: 2.3\n")
        project.write("set.yaml", raised)
        assert run(project, "--resume", "--retry-errors").code == 3
        assert agent_calls(project) + len(server.asked) == 23
        resumed = project.evalkit("run", *resume[1].split())
        assert resumed.code == 0, resumed.out + resumed.err
        assert agent_calls(project) == 10
    costs = (project.runs()[-1] / "costs.jsonl").read_text().splitlines()
    assert len(costs) == 10 + len(server.asked)


def test_baseline_score_and_ask_have_the_limit_too(project: Project) -> None:
    write_set(project, "agent: {python: ./agent.py:answer}", cases=5)
    recorded = project.evalkit("baseline", "set.yaml", "--max-cost-usd", "1.2")
    assert (recorded.code, agent_calls(project)) == (3, 12), recorded
    assert "the run's max_cost_usd is 1.2 USD" in recorded.err
    assert "--resume" in recorded.err
    assert "--max-cost-usd 2.4" in recorded.err
    asked = project.evalkit("ask", "set.yaml", "--max-cost-usd", "0.3")
    assert (asked.code, agent_calls(project)) == (3, 15), asked
    assert project.evalkit("ask", "set.yaml", "--run-id", "asked").code == 0
    with served(ScriptedServer(choose=replying(honest))) as server:
        judge = f"{{openai: {{model: m1, base_url: {server.url}/v1}}, {PRICES}}}"
        write_set(project, "agent: {python: ./agent.py:answer}", cases=5, judge=judge)
        scored = project.evalkit("score", "asked", "--set", "set.yaml", "--max-cost-usd", "0.2")
        assert (scored.code, len(server.asked)) == (3, 2), scored.out + scored.err


@pytest.mark.parametrize(("agent_limit", "calls"), [(", max_cost_usd: 1", 3), ("", 30)])
def test_an_agent_without_a_cost_is_not_taken_for_free_in_silence(
    project: Project, agent_limit: str, calls: int
) -> None:
    head = f"max_cost_usd: 5\nagent: {{python: ./agent.py:answer{agent_limit}}}"
    write_set(project, head, reply='text + ": Paris"')
    done = run(project)
    assert (done.code, agent_calls(project)) == (3 if agent_limit else 0, calls), done.out
    assert "max_cost_usd cannot be checked for the agent" in done.err
    assert "return cost_usd with each answer" in folded(done)


@pytest.mark.parametrize(
    ("agent", "reply", "calls"),
    [
        # Tokens at a price, an agent that is said to be free, and the cost that the agent reports itself.
        (
            "prices: {input: 1000, output: 0}",
            '{"output": "Paris", "usage": {"input_tokens": 100}}',
            10,
        ),
        ("prices: {input: 0, output: 0}", '"Paris"', 30),
        ("prices: {input: 9000, output: 0}", COSTS_A_TENTH, 10),
    ],
)
def test_what_an_agent_costs_is_what_it_says_or_its_tokens_at_the_sets_prices(
    project: Project, agent: str, reply: str, calls: int
) -> None:
    head = f"agent: {{python: ./agent.py:answer, max_cost_usd: 1, {agent}}}"
    write_set(project, head, reply=reply)
    done = run(project)
    assert agent_calls(project) == calls, done.out + done.err
    assert done.code == (0 if calls == 30 else 3)


def test_the_tokens_of_a_chat_model_are_priced(project: Project) -> None:
    with served(ScriptedServer(choose=lambda _: json_reply(completion("Paris")))) as server:
        head = f"agent: {{openai: {{model: m1, base_url: {server.url}/v1}}, max_cost_usd: 1, {PRICES}}}"
        write_set(project, head)
        done = run(project, "--format", "json")
        assert (done.code, len(server.asked)) == (3, 10), done.err
    assert [row["output"]["cost_usd"] for row in project.rows()] == pytest.approx([0.1] * 10)


def test_a_model_with_a_known_price_is_limited_wherever_it_is_served(project: Project) -> None:
    with served(ScriptedServer(choose=lambda _: json_reply(completion("Paris")))) as server:
        model = f"openai: {{model: gpt-4o-mini, base_url: {server.url}/v1}}"
        write_set(project, f"agent: {{{model}, max_cost_usd: 1}}")
        done = run(project)
    assert done.code == 0, done.err
    assert all(row["output"]["cost_usd"] > 0 for row in project.rows())


@pytest.mark.parametrize("limit", ["agent", "anthropic", "run", "judge under the run"])
def test_a_model_without_a_known_price_is_refused_before_any_call(
    project: Project, limit: str
) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        model = f"openai: {{model: m1, base_url: {server.url}/v1}}"
        judge = ""
        if limit == "agent":
            head = f"agent: {{{model}, max_cost_usd: 1}}"
        elif limit == "anthropic":
            head = f"agent: {{{model.replace('openai', 'anthropic')}, max_cost_usd: 1}}"
        elif limit == "run":
            head = f"max_cost_usd: 1\nagent: {{{model}}}"
        else:
            head, judge = "max_cost_usd: 1\nagent: {python: ./agent.py:answer}", f"{{{model}}}"
        write_set(project, head, judge=judge)
        done = run(project)
        assert (done.code, server.asked, agent_calls(project)) == (2, [], 0), done.out
    assert "max_cost_usd is set, but there is no price for 'm1' at 127.0.0.1" in done.err
    assert done.err.count("\n") == 1, "the problem is told once"


def test_models_without_a_price_are_told_together(project: Project) -> None:
    model = "openai: {model: m1, base_url: 'http://127.0.0.1:9/v1'}"
    head = f"agent: {{{model}, max_cost_usd: 1}}"
    write_set(project, head, judge=f"{{{model}, max_cost_usd: 1}}")
    done = run(project)
    assert done.code == 2
    assert done.err.count("there is no price for 'm1'") == 2, done.err


def test_cached_answers_cost_nothing(project: Project) -> None:
    write_set(project, "agent: {python: ./agent.py:answer, max_cost_usd: 1}", cases=8)
    assert run(project, "--cache").code == 0
    again = run(project, "--cache", "--trials", "1", "--max-cost-usd", "0.01")
    assert (again.code, agent_calls(project)) == (0, 8), again.out


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "inf", "much"])
def test_a_limit_that_is_no_amount_is_refused(project: Project, amount: str) -> None:
    done = project.evalkit("run", "echo.yaml", "--max-cost-usd", amount)
    assert done.code == 2
    assert "--max-cost-usd" in done.err


def test_garbage_among_the_stored_costs_is_named(project: Project) -> None:
    write_set(project, "agent: {python: ./agent.py:answer, max_cost_usd: 1}")
    assert run(project, "--run-id", "one").code == 3
    path = project.folder / ".evalkit/runs/one/costs.jsonl"
    path.write_text(path.read_text() + '{"key": "agent", "usd": "much"}\n')
    done = run(project, "--resume")
    assert done.code == 3
    assert "costs.jsonl:11: not a cost" in done.err
    path.write_text(json.dumps({"key": "agent", "usd": 0.1}) + '\n{"key": "torn')
    assert run(project, "--resume").code == 3
    assert agent_calls(project) == 19


def test_a_run_whose_money_ends_before_the_last_control_does_not_pass(project: Project) -> None:
    with served(ScriptedServer(choose=replying(honest))) as server:
        judge = f"{{openai: {{model: m1, base_url: {server.url}/v1}}, {PRICES}, max_cost_usd: 1.1}}"
        write_set(project, "agent: {python: ./agent.py:answer}", cases=6, judge=judge)
        done = run(project)
        # Six answers and six controls; eleven calls are paid.
        assert (done.code, len(server.asked)) == (3, 11), done.out
        assert "judge.max_cost_usd is 1.1 USD" in folded(done)
        assert "PASS" not in done.out, "the judge was not checked to the end"
        assert project.evalkit("gate", "latest").code == 3
        raised = (project.folder / "set.yaml").read_text().replace("1.1}", "9}")
        project.write("set.yaml", raised)
        resumed = run(project, "--resume", "--retry-errors")
        assert resumed.code == 0, resumed.out
        assert agent_calls(project) == 6
