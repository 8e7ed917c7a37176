"""What a set can see: `evalkit power`, its arithmetic, and the warnings of `evalkit run`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import NormalDist

import jsonschema
import numpy as np
import pytest

import evalkit
from evalkit.gate.simulation import simulate_detectable_drop, simulate_gate
from evalkit.stats.group_sequential import simulate_looks
from evalkit.stats.power import Design, DropLimits, chance_to_fail, find_detectable_drop
from evalkit.stats.sample_size import chance_to_pass, find_min_cases, find_min_trials
from evalkit.stats.unchanged import draw_rates, find_trials_to_pass, simulate_unchanged
from tests.conftest import Done, Project

SCHEMA = json.loads((Path(evalkit.__file__).parent / "schemas" / "report.schema.json").read_text())
DEMAND = DropLimits(alpha=0.05, max_drop=0.02, tolerated=0.05)
DESIGN = Design(cases=100, base_trials=10, trials=5, mean=0.8, noise=0.1)
USERS = "[{metric: exact_match, max_drop: 0.02, estimand: users}]"
GATE = "[{metric: exact_match, max_drop: 0.02, primary: true}]"

WAVERING = """
    import random

    def answer(text, context):
        chance = {"0": 0.5, "1": 0.8}.get(text[-1], 1.0)
        right = random.Random(context["seed"]).random() < chance
        return {"output": text.upper() if right else "?", "cost_usd": 0.01}
"""


def write_set(project: Project, cases: int, gate: str = GATE) -> None:
    rows = "".join(f"  - {{id: c{n}, input: q{n}, expected: Q{n}}}\n" for n in range(cases))
    project.write(
        "set.yaml",
        f"agent: {{python: ./agent.py:answer}}\nmetrics: [exact_match]\ngate: {gate}\ncases:\n{rows}",
    )
    project.write("agent.py", WAVERING)


def held(done: Done) -> Done:
    assert done.code == 0, done.err
    jsonschema.validate(done.json, SCHEMA)
    return done


def words(done: Done) -> str:
    return " ".join(done.out.split())


def test_a_tolerance_of_two_points_takes_494_cases_at_usual_noise() -> None:
    narrow = replace(DEMAND, tolerated=0.02)
    needed = find_min_cases(DESIGN, lambda design: chance_to_pass(design, narrow) >= 0.8 - 1e-9)
    assert needed == 494
    # By hand: 80 % is Phi((tolerance - z SE') / SE), SE' at the noise w' of an agent that lost as much.
    z = NormalDist().inv_cdf
    kept = 1 - 0.02 / 0.8
    noise = kept * (0.8 - kept * (0.8 - 0.1))
    reach = z(0.95) * sqrt(noise / 5 + 0.1 / 10) + z(0.8) * sqrt(0.1 * 0.3)
    assert needed == pytest.approx((reach / 0.02) ** 2, abs=1)


def test_what_suffices_is_the_first_that_does() -> None:
    def suffices(design: Design) -> bool:
        return chance_to_fail(design, DEMAND, 0.05) >= 0.8

    one = replace(DESIGN, trials=1, cases=10)
    cases = find_min_cases(one, suffices)
    assert cases == next(n for n in range(10, 2000) if suffices(replace(one, cases=n)))
    one = replace(one, cases=200)
    trials = find_min_trials(one, suffices)
    assert trials == next(k for k in range(1, 21) if suffices(replace(one, trials=k)))
    assert find_min_cases(DESIGN, lambda _: False) is None
    assert find_min_trials(DESIGN, lambda _: False) is None


@pytest.mark.parametrize(("trials", "noise"), [(1, 0.05), (3, 0.1)])
def test_formula_and_simulation_agree_where_both_hold(trials: int, noise: float) -> None:
    design = replace(DESIGN, cases=80, trials=trials, noise=noise)
    drop = find_detectable_drop(design, DEMAND)
    assert drop is not None
    assert simulate_gate(design, DEMAND, drop, seed=5).failed == pytest.approx(0.8, abs=0.13)
    passes = simulate_gate(design, DEMAND, 0.0, seed=5).passed
    assert passes == pytest.approx(chance_to_pass(design, DEMAND), abs=0.12)
    assert simulate_gate(design, DEMAND, 0.0, seed=6).failed < 0.1


@pytest.mark.parametrize("clusters", [None, 40.0])
def test_looks_and_users_are_foreseen_as_the_gates_own_test_decides(clusters: float | None) -> None:
    design = replace(DESIGN, cases=80, trials=3, looks=3, noise=0.06, clusters=clusters)
    demand = DEMAND
    for drop in (0.0, 0.06):
        played = simulate_looks(design, demand, drop)
        tried = simulate_gate(design, demand, drop, seed=5, draws=150)
        # 150 draws know a share to .04, and the weighted test sees more than the formula says.
        assert played.failed == pytest.approx(tried.failed, abs=0.15)
        assert played.passed == pytest.approx(tried.passed, abs=0.12)
        if not drop:
            assert played.trials == pytest.approx(tried.trials, abs=0.25)
    fixed = replace(design, looks=0)
    assert simulate_looks(design, demand, 0.06).failed < chance_to_fail(fixed, DEMAND, 0.06)


def test_few_clusters_see_less_and_prove_less() -> None:
    suite = replace(DESIGN, trials=1)
    drops, passes = [], []
    for clusters in (None, 100.0, 20.0, 6.0):
        asked = replace(suite, clusters=clusters)
        found = find_detectable_drop(asked, DEMAND)
        assert found is not None
        drops.append(found)
        passes.append(chance_to_pass(asked, DEMAND))
    assert drops == sorted(drops)
    assert passes == sorted(passes, reverse=True)
    assert find_detectable_drop(replace(suite, clusters=3.0), DEMAND) is None, (
        "2**-4 is above alpha"
    )
    assert chance_to_pass(replace(suite, clusters=1.0), DEMAND) == 0.0


@pytest.mark.slow
def test_the_same_question_has_the_same_answer() -> None:
    design = replace(DESIGN, cases=6)
    assert simulate_gate(design, DEMAND, 0.3, seed=1) == simulate_gate(design, DEMAND, 0.3, seed=1)
    assert simulate_detectable_drop(design, DEMAND, seed=1) == simulate_detectable_drop(
        design, DEMAND, seed=1
    )


def test_drawn_rates_have_the_mean_and_noise_of_the_design() -> None:
    rates = draw_rates(replace(DESIGN, cases=100_000, noise=0.04), np.random.default_rng(3), 1)
    assert float(np.mean(rates)) == pytest.approx(0.8, abs=0.01)
    assert float(np.mean(rates * (1 - rates))) == pytest.approx(0.04, abs=0.005)


def test_one_against_one_on_three_cases_sees_nothing_however_large() -> None:
    design = replace(DESIGN, cases=3, trials=1, base_trials=1)
    assert simulate_detectable_drop(design, DEMAND, seed=0) is None
    assert find_detectable_drop(design, DEMAND) is not None, (
        "the formula is wrong here: simulation is due"
    )


def test_the_baseline_gives_noise_flaky_cases_and_cost(project: Project) -> None:
    write_set(project, 40)
    assert project.evalkit("baseline", "set.yaml").code == 0
    found = held(project.evalkit("power", "set.yaml", "--drop", "0.05", "--format", "json")).json
    lines = (project.folder / "baselines/set.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    passed = [sum(t["scores"][0]["passed"] for t in row["trials"]) for row in rows]
    noise = sum(c * (10 - c) / 90 for c in passed) / 40
    assert found["noise"] == pytest.approx(max(noise, 0.25 / 40))
    assert found["mean"] == pytest.approx(sum(passed) / 400)
    assert found["flaky"] == sum(0 < c < 10 for c in passed)
    assert found["cost_per_run_usd"] == pytest.approx(0.01)
    now = [drop for drop in found["detectable_drops"] if drop["now"]]
    assert [(s["cases"], s["base_trials"], s["trials"], s["looks"]) for s in now] == [
        (40, 10, 5, 5)
    ]
    looks, *fixed = found["detectable_drops"]
    assert [looks] == now
    assert [sight["trials"] for sight in fixed] == [1, 3, 5]
    assert fixed[1]["cost_usd"] == pytest.approx(1.2)
    drops = [sight["smallest_drop"] for sight in fixed]
    assert drops == sorted(drops, reverse=True)
    assert looks["smallest_drop"] < fixed[0]["smallest_drop"]
    assert fixed[2]["smallest_drop"] < looks["smallest_drop"] < 1.1 * fixed[1]["smallest_drop"]
    assert 40 < looks["runs"] < 200
    assert looks["cost_usd"] == pytest.approx(0.01 * 40 * looks["mean_trials"])
    assert found["wanted"]["drop"] == 0.05
    table = project.evalkit("power", "set.yaml", "--drop", "0.05").out
    assert "$1.20" in table
    assert "1 to 5" in table
    assert max(map(len, table.splitlines())) <= 80


def test_what_cannot_be_had_is_said_plainly(project: Project) -> None:
    write_set(project, 100)
    done = project.evalkit(
        "power", "set.yaml", "--noise", "0.1", "--mean", "0.8", "--trials", "5", "--drop", "0.02"
    )
    assert done.code == 0
    said = (
        "A drop of 2 pt cannot be ruled out 4 times in 5 on 100 cases at this noise: it needs about 494, even "
        "with 5 trials of each."
    )
    assert said in words(done)
    assert "A drop of 2 pt cannot be failed: the threshold allows 2 pt." in words(done)


def test_a_metric_that_is_misspelled_or_measured_is_answered_with_the_right_ones(
    project: Project,
) -> None:
    text = (project.folder / "echo.yaml").read_text()
    project.write("echo.yaml", text.replace("[exact_match]", "[exact_match, latency_s]"))
    project.evalkit("baseline", "echo.yaml", "--trials", "3")
    typo = project.evalkit("power", "echo.yaml", "--metric", "exact_mach")
    assert typo.code == 2
    assert (
        "no metric of the baseline is named 'exact_mach'. Did you mean 'exact_match'?" in typo.err
    )
    measured = project.evalkit("power", "echo.yaml", "--metric", "latency_s")
    assert "'latency_s' is measured in s in the baseline" in measured.err
    assert "with --metric: exact_match." in measured.err


def test_without_a_baseline_the_noise_must_be_assumed(project: Project) -> None:
    write_set(project, 50)
    done = project.evalkit("power", "set.yaml")
    assert done.code == 3
    assert "--noise and --mean" in done.err
    done = project.evalkit("power", "set.yaml", "--noise", "0.2", "--mean", "0.9")
    assert done.code == 2
    assert "0.09" in done.err
    found = held(
        project.evalkit("power", "set.yaml", "--noise", "0.05", "--mean", "0.9", "--format", "json")
    )
    assert found.json["noise_from"] == "assumed"
    assert found.json["planned"]["base_trials"] == 10
    assert not any(drop["now"] for drop in found.json["detectable_drops"])


def test_a_baseline_of_one_trial_tells_nothing_of_noise(project: Project) -> None:
    write_set(project, 8)
    project.evalkit("baseline", "set.yaml", "--trials", "1")
    done = project.evalkit("power", "set.yaml")
    assert done.code == 3
    assert "one trial per case does not show the noise" in done.err


def test_a_rule_about_other_cases_counts_clusters_as_draws(project: Project) -> None:
    write_set(project, 60, "[{metric: exact_match, max_drop: 0.02, estimand: users}]")
    text = (project.folder / "set.yaml").read_text()
    for number in range(60):
        text = text.replace(
            f"expected: Q{number}}}", f"expected: Q{number}, cluster: d{number % 40}}}"
        )
    project.write("set.yaml", text)
    arguments = ("power", "set.yaml", "--noise", "0.05", "--mean", "0.9")
    found = held(project.evalkit(*arguments, "--format", "json")).json
    # Twenty clusters of two and twenty of one.
    assert found["clusters"] == pytest.approx(60**2 / (20 * 4 + 20))
    assert "60 cases count as 36 draws" in words(project.evalkit(*arguments))
    project.write("set.yaml", text.replace(", estimand: users", ""))
    suite = held(project.evalkit(*arguments, "--format", "json")).json
    assert suite["clusters"] is None
    assert (
        suite["detectable_drops"][0]["smallest_drop"]
        < found["detectable_drops"][0]["smallest_drop"]
    )


def test_what_broken_cases_can_be_proven_is_said(project: Project) -> None:
    write_set(project, 40, f"[{GATE[1:-1]}, {{broken_cases: 0}}]")
    project.evalkit("baseline", "set.yaml")
    found = held(project.evalkit("power", "set.yaml", "--format", "json")).json["broken"]
    lines = (project.folder / "baselines/set.jsonl").read_text().splitlines()
    firsts = [
        [t["scores"][0]["passed"] for t in json.loads(line)["trials"][:5]] for line in lines[1:]
    ]
    assert (found["cases"], found["eligible"]) == (40, sum(sum(half) >= 3 for half in firsts))
    # Five reserve trials against four fresh ones: 1 of the 126 ways to share out five passes.
    assert found["at_once"] == int(0.05 * 126)
    chances = dict(found["chances"])
    assert chances[0.0] == 1
    # At .25 it fails now and then at most one of four passes; two of four are p = .167.
    assert chances[0.25] == pytest.approx(0.75 * (0.75**4 + 4 * 0.25 * 0.75**3))
    said = words(project.evalkit("power", "set.yaml"))
    assert "Up to 6 cases that always passed and now never do are all proven broken." in said


@pytest.mark.slow
def test_small_designs_are_simulated_and_say_so(project: Project) -> None:
    write_set(project, 60)
    arguments = ("power", "set.yaml", "--noise", "0.05", "--mean", "0.9", "--baseline-trials", "3")
    small = project.evalkit(*arguments, "--cases", "6")
    assert "simulated" in small.out
    assert "simulated" not in project.evalkit(*arguments).out


def test_thresholds_that_share_alpha_see_less(project: Project) -> None:
    write_set(project, 60)
    arguments = ("power", "set.yaml", "--noise", "0.05", "--mean", "0.9", "--format", "json")
    alone, shared = (
        held(project.evalkit(*arguments, *more)).json for more in ((), ("--rules", "5"))
    )
    assert shared["level"] == pytest.approx(0.01)
    assert (
        shared["detectable_drops"][0]["smallest_drop"]
        > alone["detectable_drops"][0]["smallest_drop"]
    )
    # The gate passes by the interval, which keeps the whole alpha.
    chances = [[row["pass_chance"] for row in one["detectable_drops"]] for one in (alone, shared)]
    assert chances[0] == chances[1]


def test_a_metric_that_neither_passes_nor_fails_is_refused(project: Project) -> None:
    write_set(project, 40, "[{must_pass: all}]")
    project.evalkit("baseline", "set.yaml", "--trials", "2", "--max-errors", "9")
    done = project.evalkit("power", "set.yaml")
    assert done.code == 2
    assert "--metric: exact_match" in done.err
    assert project.evalkit("power", "set.yaml", "--metric", "latency").code == 2
    assert project.evalkit("power", "set.yaml", "--metric", "exact_match").code == 0


STEADY = "def answer(text):\n    return text.upper()\n"


@pytest.mark.parametrize(
    ("cases", "base_trials", "gate", "said"),
    [
        (3, 1, GATE, r"exact_match: cannot fail.*possible p-value is 0\.062"),
        (
            4,
            1,
            GATE,
            r"exact_match: cannot pass: .*Even with `trials: 20`, a run without a failure",
        ),
        (
            12,
            10,
            GATE + "\ntrials: 1",
            r"reaches 12\.4 pt, but only 5 pt is tolerated.* `trials: 8`",
        ),
        (5, 2, "[{metric: exact_match, min: 0.9}]", r"cannot pass.*5 cases.*at least 90%"),
        (
            9,
            1,
            "[{metric: latency_s, stat: p95, max: 5}, {must_pass: all}]",
            r"latency_s p95: cannot pass",
        ),
        (3, 1, "[{metric: latency_s, max_rise: 0.5}, {must_pass: all}]", r"latency_s: cannot fail"),
        (12, 8, "[{metric: latency_s, stat: p95, max_rise: 0.5}, {must_pass: all}]", None),
        (60, 10, GATE, None),
        (40, 1, "[{metric: exact_match, min: 0.9}]", None),
        (3, 1, "[{metric: exact_match, min: 0.9, test: point}, {max_regressed: 0}]", None),
        (9, 4, "[{broken_cases: 0}]", r"broken cases: cannot be decided.* 5 baseline .* are 4\."),
        (9, 5, "[{broken_cases: 1}]", r"broken cases: cannot fail.* 1 case can be proven .* 1 is"),
        (9, 5, "[{broken_cases: 0}]", None),
        (4, 10, USERS + "\ntrials: 3", r"exact_match: cannot pass: with 4 cases in 4 clusters"),
        (
            3,
            10,
            USERS + "\ntrials: 3",
            r"exact_match: cannot fail.* 3 cases in 3 clusters .*0\.062",
        ),
    ],
)
def test_a_run_that_cannot_decide_is_announced_before_it_is_paid_for(
    project: Project, cases: int, base_trials: int, gate: str, said: str | None
) -> None:
    write_set(project, cases, gate)
    text = (project.folder / "set.yaml").read_text()
    project.write("set.yaml", text.replace("[exact_match]", "[exact_match, latency_s]"))
    project.write("agent.py", STEADY)
    project.evalkit("baseline", "set.yaml", "--trials", str(base_trials))
    preview = held(project.evalkit("run", "set.yaml", "--dry-run", "--format", "json"))
    done = project.evalkit("run", "set.yaml")
    assert done.err.splitlines() == [f"warning: {one}" for one in preview.json["warnings"]]
    assert len(preview.json["warnings"]) == (said is not None)
    assert said is None or re.search(said, preview.json["warnings"][0])
    if said is not None:
        assert "warning:" in project.evalkit("run", "set.yaml", "--dry-run").out


@pytest.mark.parametrize("cases", [15, 30, 100])
@pytest.mark.parametrize(("mean", "noise"), [(1.0, 0.0), (0.98, 0.008)])
def test_the_trials_that_are_advised_are_the_fewest_that_pass(
    cases: int, mean: float, noise: float
) -> None:
    design = Design(
        cases=cases, base_trials=10, trials=1, mean=mean,
        noise=max(noise, 0.25 / cases), seen_noise=noise,
    )  # fmt: skip
    plan = find_trials_to_pass(design, DEMAND)

    def passes(trials: int) -> float:
        # The gate's own test decides other runs than those that the plan rests on.
        draws = 3 if mean == 1 else 100
        planned = replace(design, trials=trials)
        return simulate_gate(planned, DEMAND, 0.0, seed=5, draws=draws).passed

    # The standard error of 100 runs is 4 points.
    assert plan.is_enough
    assert passes(plan.trials) == pytest.approx(plan.chance, abs=0.12)
    if plan.trials > 2:
        assert passes(plan.trials - 1) < 0.8 + 0.1
    looks = replace(design, trials=5, looks=5)
    assert simulate_unchanged(looks, DEMAND).passed == pytest.approx(
        simulate_gate(looks, DEMAND, 0.0, seed=5, draws=3 if mean == 1 else 50).passed, abs=0.16
    )


def test_run_and_power_advise_the_same_trials_and_an_unchanged_agent_then_passes(
    project: Project,
) -> None:
    write_set(project, 15, "[{metric: exact_match, max_drop: 0.05}]")
    project.write("agent.py", STEADY)
    project.evalkit("baseline", "set.yaml", "--trials", "10")
    advice = "a run without a failure then passes"
    # Looks share alpha, so they are less decisive than five trials at once.
    undecided = project.evalkit("run", "set.yaml")
    assert f"Set `trials: 6`: {advice}" in undecided.err
    assert f"Set `trials: 6` (90 runs): {advice}" in words(undecided)
    fewer = project.evalkit("run", "set.yaml", "--trials", "5")
    assert f"Set `trials: 6` (90 runs): {advice}" in words(fewer)
    assert fewer.out.startswith("INCONCLUSIVE")
    assert project.evalkit("run", "set.yaml", "--trials", "6").out.startswith("PASS")
    need = held(project.evalkit("power", "set.yaml", "--format", "json")).json["proofs"]
    assert [one["trials"] for one in need] == [6]


def test_what_is_announced_comes_true(project: Project) -> None:
    write_set(project, 3)
    project.write("agent.py", STEADY)
    project.evalkit("baseline", "set.yaml", "--trials", "1")
    project.write("agent.py", "def answer(text):\n    return '?'\n")
    broken = project.evalkit("run", "set.yaml", "--format", "json")
    assert broken.json["checks"][0]["outcome"] == "inconclusive"
    assert sqrt(0.25 / 3 * 2 / 3) * 1.645 > 0.05
