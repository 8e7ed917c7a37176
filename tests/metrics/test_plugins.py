"""Metric plugins by file, module and entry point, and everything they may do wrong."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import evalkit
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import Case, MetricSpec
from evalkit.core.literals import Json
from evalkit.core.location import Location
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.trial import Output, Score
from evalkit.metrics.scorers import spec_digest
from evalkit.metrics.specs import open_scorers

CASE = Case(id="a", input="May I return them?", expected="30 days", tags=("refunds",))
OUTPUT = Output(text="Please return them within 30 days.", data={"n": 1}, latency_s=0.5)


@dataclass(frozen=True)
class Bench:
    """A project folder with plugins in it, and a way to score with them."""

    folder: Path

    def write(self, name: str, source: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))

    @property
    def surroundings(self) -> RunEnvironment:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return RunEnvironment(root=self.folder, set_folder=self.folder, environ=environ)

    def score(
        self, *specs: MetricSpec, case: Case = CASE, output: Output = OUTPUT
    ) -> list[tuple[MetricInfo, Score]]:
        async def scored() -> list[tuple[MetricInfo, Score]]:
            async with open_scorers(specs, self.surroundings) as scorers:
                chosen = [scorers[spec_digest(spec)] for spec in specs]
                scores = await asyncio.gather(*(each.score(case, output) for each in chosen))
                return [(each.info, score) for each, score in zip(chosen, scores, strict=True)]

        return asyncio.run(scored())

    def score_source(self, source: str, args: Mapping[str, Json] | None = None) -> Score:
        """Score once with the plugin `metric` of a file with this source."""
        self.write("plugin.py", source)
        [(_, score)] = self.score(plugin("./plugin.py:metric", args))
        return score

    def score_bodies(self, bodies: Sequence[str]) -> list[Score]:
        """Return the score of each function body, all called at once in one plugin."""
        self.write("plugin.py", OBEDIENT)
        spec = plugin("./plugin.py:metric")

        async def scored() -> list[Score]:
            async with open_scorers([spec], self.surroundings) as scorers:
                scorer = scorers[spec_digest(spec)]
                cases = [Case(id=str(number), input=body) for number, body in enumerate(bodies)]
                return await asyncio.gather(*(scorer.score(case, OUTPUT) for case in cases))

        return asyncio.run(scored())

    def problems(self, *specs: MetricSpec) -> list[str]:
        with pytest.raises(InvalidInput) as caught:
            self.score(*specs)
        return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "project"
    folder.mkdir()
    return Bench(folder)


def plugin(ref: str, args: Mapping[str, Json] | None = None, name: str = "") -> MetricSpec:
    where = Location(path="set.yaml", line=7)
    return MetricSpec(ref=ref, name=name or ref.rpartition(":")[2], args=args or {}, where=where)


def install(site: Path, distribution: str, entries: Sequence[str], source: str = "") -> None:
    """Write a distribution as an installer does: a module of its name, and its metadata."""
    module = distribution.replace("-", "_")
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(dedent(source))
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[evalkit.metrics]", *entries, ""]))


# --- what a plugin may be -----------------------------------------------------------------------

POLITENESS = """
    from evalkit import Case, Output, Score

    def polite(case: Case, output: Output) -> bool:
        return "please" in output.text.lower()

    def brief(case: Case, output: Output) -> float:
        return min(1.0, 10 / len(output.text.split()))

    def on_topic(case: Case, output: Output) -> Score:
        return Score(value=0.25, passed=case.expected in output.text, explanation=case.tags[0])

    class Words:
        limit: int = 3
        unit = "words"
        higher_is_better = False

        def score(self, case, output):
            count = len(output.text.split())
            return Score(value=count, passed=count <= self.limit)

    async def patient(case, output):
        return output.data["n"] == 1
"""


@pytest.mark.parametrize(
    ("attribute", "args", "expected"),
    [
        ("polite", {}, Score(metric="polite", value=1.0, passed=True)),
        ("brief", {}, Score(metric="brief", value=1.0)),
        (
            "on_topic",
            {},
            Score(metric="on_topic", value=0.25, passed=True, explanation="refunds"),
        ),
        ("Words", {}, Score(metric="Words", value=6.0, passed=False)),
        ("Words", {"limit": 6}, Score(metric="Words", value=6.0, passed=True)),
        ("Words", {"": 6}, Score(metric="Words", value=6.0, passed=True)),
        ("patient", {}, Score(metric="patient", value=1.0, passed=True)),
    ],
)
def test_a_plugin_is_a_function_or_a_class_in_a_file(
    bench: Bench, attribute: str, args: Mapping[str, Json], expected: Score
) -> None:
    bench.write("metrics/politeness.py", POLITENESS)
    [(info, score)] = bench.score(plugin(f"./metrics/politeness.py:{attribute}", args))
    assert score == expected
    assert info.name == attribute
    assert (info.unit, info.higher_is_better) == (
        ("words", False) if attribute == "Words" else ("", True)
    )


def test_a_plugin_may_be_in_a_module_of_the_project(bench: Bench) -> None:
    bench.write("house/__init__.py", "")
    bench.write("house/metrics.py", "def strict(case, output): return False")
    [(_, score)] = bench.score(plugin("house.metrics:strict"))
    assert score == Score(metric="strict", value=0.0, passed=False)


def test_an_installed_plugin_is_known_by_its_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bench.folder.parent / "site"
    source = (
        "class Tone:\n    mark: float = 0.5\n    def score(self, case, output): return self.mark"
    )
    install(site, "tone-metrics", ["tone = tone_metrics:Tone"], source)
    monkeypatch.syspath_prepend(site)
    [(_, score)] = bench.score(plugin("tone", {"mark": 0.75}))
    assert score == Score(metric="tone", value=0.75)


def test_a_built_in_name_is_never_taken_by_an_installed_plugin(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bench.folder.parent / "site"
    install(site, "rogue", ["exact_match = rogue:score"], "def score(case, output): return True")
    monkeypatch.syspath_prepend(site)
    [(_, score)] = bench.score(plugin("exact_match"))
    assert score.passed is False


def test_one_plugin_under_two_names_is_loaded_once(bench: Bench) -> None:
    bench.write(
        "plugin.py",
        """
        import os
        from pathlib import Path
        with Path("loaded").open("a") as log:
            log.write(f"{os.getpid()}\\n")
        def metric(case, output): return True
        """,
    )
    scores = bench.score(
        plugin("./plugin.py:metric", name="one"), plugin("./plugin.py:metric", name="other")
    )
    assert [score.metric for _, score in scores] == ["one", "other"]
    assert len((bench.folder / "loaded").read_text().splitlines()) == 1


def test_the_digest_of_a_plugin_covers_its_code_and_arguments_and_not_where_it_is(
    bench: Bench,
) -> None:
    bench.write("a.py", POLITENESS)
    bench.write("moved/b.py", POLITENESS)
    bench.write("c.py", POLITENESS.replace("limit: int = 3", "limit: int = 4"))
    digests = [
        info.digest
        for info, _ in bench.score(
            plugin("./a.py:Words"),
            plugin("./a.py:Words", name="named"),
            plugin("./moved/b.py:Words"),
            plugin("./a.py:Words", {"limit": 4}),
            plugin("./a.py:polite"),
            plugin("./c.py:Words"),
        )
    ]
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 4


# --- scores of what a plugin returns --------------------------------------------------------

RETURNED = [
    ("True", 1.0, True),
    ("False", 0.0, False),
    ("0.5", 0.5, None),
    ("1", 1.0, None),
    ("0", 0.0, None),
    ("__import__('numpy').float32(0.5)", 0.5, None),
    ("__import__('numpy').int64(1)", 1.0, None),
    ("__import__('numpy').bool_(True)", 1.0, True),
    ("Score(value=0.5, passed=False)", 0.5, False),
    ("Score(value=1)", 1.0, None),
    ("Score(passed=True)", 1.0, True),
    ("Score(passed=False)", 0.0, False),
    ("Score(value=True, passed=True)", 1.0, True),
]

MISBEHAVIOURS = [
    ("return None", "returned None"),
    ("return 'good'", "returned 'good'"),
    ("return [1.0]", "returned [1.0]"),
    ("return {'value': 1.0}", "returned {'value': 1.0}"),
    ("return float('nan')", "not a finite number"),
    ("return float('inf')", "not a finite number"),
    ("return 1e400", "not a finite number"),
    ("return __import__('numpy').float64('nan')", "not a finite number"),
    ("return 1.5", "not in 0..1"),
    ("return -0.1", "not in 0..1"),
    ("return 10 ** 400", ""),
    ("return 1j", "returned 1j"),
    ("return __import__('numpy').array([1.0, 0.0])", "returned array"),
    ("return Score()", "returned None"),
    ("return Score(value=float('nan'))", "not a finite number"),
    ("return Score(value='1')", "returned '1'"),
    ("return Score(value=1.0, passed='yes')", "passed='yes'"),
    ("return Score(value=1.0, explanation=5)", "explanation is 5"),
    ("return Score(state='excellent')", "unknown state 'excellent'"),
    ("raise ValueError('no such luck')", "it raised ValueError: no such luck"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("import sys; sys.exit(0)", "SystemExit"),
    ("import os; os._exit(0)", "its process ended with exit code 0"),
    ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ("f = lambda: f(); return f()", "RecursionError"),
    ("class Odd(Exception):\n        def __str__(self): raise self\n    raise Odd", "Odd"),
]


OBEDIENT = """
    from evalkit import Score
    def metric(case, output):
        namespace = {"Score": Score}
        exec("def body():\\n    " + case.input, namespace)
        return namespace["body"]()
"""
"""A plugin that does what the case says, so that one process is enough for all parameters."""


def test_what_a_plugin_returns_becomes_a_score_by_one_rule(bench: Bench) -> None:
    bodies = [f"return {expression}" for expression, _, _ in RETURNED]
    for (expression, value, passed), score in zip(
        RETURNED, bench.score_bodies(bodies), strict=True
    ):
        assert score == Score(metric="metric", value=value, passed=passed), expression


def test_misbehaviour_costs_one_score_and_says_what_it_was(bench: Bench) -> None:
    scores = bench.score_bodies([body for body, _ in MISBEHAVIOURS])
    for (body, said), score in zip(MISBEHAVIOURS, scores, strict=True):
        assert (score.state, score.value, score.passed) == ("metric_error", None, None), body
        assert score.explanation, body
        assert said in score.explanation, body


def test_a_plugin_may_say_why_it_gives_no_value(bench: Bench) -> None:
    score = bench.score_source("""
        from evalkit import Score
        def metric(case, output):
            return Score(state="skipped", explanation="not a refund question")
    """)
    assert score == Score(metric="metric", state="skipped", explanation="not a refund question")


def test_a_plugin_with_a_unit_may_give_any_finite_number(bench: Bench) -> None:
    source = "def metric(case, output): return -1234.5\nmetric.unit = 'points'\n"
    assert bench.score_source(source) == Score(metric="metric", value=-1234.5)


def test_a_traceback_shows_the_line_of_the_plugin(bench: Bench) -> None:
    score = bench.score_source("""
        def metric(case, output):
            return case.metadata["missing"]
    """)
    assert "KeyError: 'missing'" in score.explanation
    assert 'case.metadata["missing"]' in score.explanation
    assert "evalkit/worker" not in score.explanation


def test_a_hanging_plugin_is_stopped_at_its_deadline(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.metrics.plugins.DEADLINE_S", 0.3)
    started = time.monotonic()
    score = bench.score_source("""
        import time
        def metric(case, output):
            time.sleep(60)
    """)
    assert time.monotonic() - started < 10
    assert (score.state, score.value) == ("metric_error", None)
    assert "no answer within 0.3 s" in score.explanation


def test_an_enormous_explanation_is_cut(bench: Bench) -> None:
    score = bench.score_source("""
        from evalkit import Score
        def metric(case, output):
            return Score(value=1, explanation="x" * 1_000_000)
    """)
    assert score.value == 1.0
    assert len(score.explanation) == 2000


def test_a_plugin_sees_the_case_and_output_as_they_are(bench: Bench) -> None:
    text = "\ud800 \x00 \u202e e\u0301 {{env.X}} \U0001f468\u200d\U0001f469"
    bench.write(
        "plugin.py",
        f"""
        def metric(case, output):
            return case.expected == {text!r} and output.text == {text!r} and case.tags == ("t",)
        """,
    )
    case = Case(id="a", input="?", expected=text, tags=("t",))
    [(_, score)] = bench.score(plugin("./plugin.py:metric"), case=case, output=Output(text=text))
    assert score.passed is True, score.explanation


VANDAL = """
    import json, locale, math, os, random, sys
    print("::error::from the plugin")
    json.dumps = json.loads = lambda *args, **kwargs: "{}"
    math.isfinite = lambda number: True
    random.seed(0)
    os.environ["LANG"] = "xx"
    os.environ["PYTHONPATH"] = "/nowhere"
    os.chdir("/")
    sys.path.insert(0, "/nowhere")
    sys.stdout.write("x" * 100_000)

    def metric(case, output):
        print("and again", file=sys.stderr)
        sys.setrecursionlimit(50)
        case.metadata["x"] = 1
        output.data["n"] = 2
        os.chdir("/tmp")
        return True

    def neighbour(case, output):
        return json.loads("[1]") == [1]
"""


def test_nothing_a_plugin_changes_reaches_another_metric_or_evalkit(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.write("vandal.py", VANDAL)
    bench.write(
        "honest.py",
        """
        import json, os
        from pathlib import Path
        def metric(case, output):
            assert "x" not in case.metadata
            assert os.environ.get("LANG") != "xx"
            return json.loads("[1]") == [1] and output.data == {"n": 1} and Path("honest.py").exists()
        """,
    )
    before = (Path.cwd(), dict(os.environ), list(sys.path))
    scores = bench.score(
        plugin("./vandal.py:metric", name="vandal"),
        plugin("./honest.py:metric", name="honest"),
        plugin("contains", {"": "30 days"}),
    )
    assert [score.passed for _, score in scores] == [True, True, True]
    assert (Path.cwd(), dict(os.environ), list(sys.path)) == before
    assert OUTPUT.data == {"n": 1}
    assert capfd.readouterr() == ("", "")


def test_a_plugin_does_not_see_credentials(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "GITHUB_TOKEN", "EVALKIT_JUDGE_KEY"):
        monkeypatch.setenv(name, "s3cret")
    score = bench.score_source("""
        import os
        def metric(case, output):
            return not any("s3cret" in value for value in os.environ.values())
    """)
    assert score.passed is True


def test_a_plugin_that_dies_is_started_again_for_the_next_trial(bench: Bench) -> None:
    bench.write(
        "plugin.py",
        """
        import os
        def metric(case, output):
            return os._exit(3) if case.id == "fatal" else True
        """,
    )
    spec = plugin("./plugin.py:metric")

    async def three() -> list[Score]:
        async with open_scorers([spec], bench.surroundings) as scorers:
            scorer = scorers[spec_digest(spec)]
            cases = [Case(id=name, input="?") for name in ("first", "fatal", "last")]
            return [await scorer.score(case, OUTPUT) for case in cases]

    assert [score.state for score in asyncio.run(three())] == ["scored", "metric_error", "scored"]


# --- what is refused before any call ------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Json], str]] = [
    ("./plugin.py:polit", {}, "has no 'polit'. Did you mean 'polite'?"),
    ("./plugn.py:polite", {}, "./plugn.py does not exist; did you mean 'plugin.py'?"),
    ("./folder.py:polite", {}, "is a folder, not a file"),
    ("/etc/passwd.py:polite", {}, "is an absolute path"),
    ("../../etc/passwd.py:polite", {}, "is outside of the project"),
    ("./plugin.py:", {}, "'' is not a name"),
    ("./plugin.py:a b", {}, "'a b' is not a name"),
    ("./plugin.txt:polite", {}, "is not a module"),
    (":polite", {}, "is not a module"),
    ("nowhere.at.all:polite", {}, "there is no module 'nowhere.at.all'"),
    ("./broken.py:polite", {}, "SyntaxError"),
    ("./raises.py:polite", {}, "RuntimeError: not today"),
    ("./raises.py:polite", {}, "raises.py"),
    ("./exits.py:polite", {}, "SystemExit"),
    ("./plugin.py:future", {}, "version 2 of the plugin interface; this evalkit has version 1"),
    ("./plugin.py:wrong_unit", {}, "`unit` is 5"),
    ("./plugin.py:number", {}, "neither a function (case, output) nor a class"),
    ("./plugin.py:lonely", {}, "cannot be called as (case, output)"),
    ("./plugin.py:polite", {"strict": True}, "takes no arguments"),
    ("./plugin.py:Words", {"limt": 3}, "unknown argument 'limt'. Did you mean 'limit'?"),
    ("./plugin.py:Words", {"limit": "three"}, "argument 'limit'"),
    ("./plugin.py:Words", {}, "argument 'limit' is missing"),
    ("politness", {}, "there is none of this name. There are: exact_match, one_of"),
    ("exact_mach", {}, "Did you mean 'exact_match'?"),
    ("./plugin.py", {}, "there is none of this name"),
]


def write_refused(bench: Bench) -> None:
    bench.write(
        "plugin.py",
        """
        from dataclasses import dataclass
        def polite(case, output): return True
        def future(case, output): return True
        future.evalkit_api = 2
        def wrong_unit(case, output): return True
        wrong_unit.unit = 5
        def lonely(case): return True
        number = 5
        @dataclass
        class Words:
            limit: int
            def score(self, case, output): return True
        """,
    )
    bench.write("broken.py", "def polite(case, output: return True")
    bench.write("raises.py", "raise RuntimeError('not today')")
    bench.write("exits.py", "import sys\nsys.exit(0)")
    (bench.folder / "folder.py").mkdir()


def test_what_cannot_be_loaded_is_refused_with_place_and_reason_all_at_once(bench: Bench) -> None:
    write_refused(bench)
    specs = [plugin(ref, args, name=f"m{i}") for i, (ref, args, _) in enumerate(REFUSED)]
    problems = bench.problems(*specs)
    assert len(problems) == len(REFUSED)
    for ref, _, said in REFUSED:
        [*fitting] = (each for each in problems if said in each and ref in each)
        assert fitting, (ref, said)
        assert all(each.startswith("set.yaml:7: ") for each in fitting)


def test_two_distributions_that_offer_one_name_are_both_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bench.folder.parent / "site"
    install(site, "tone-a", ["tone = tone_a:score"], "def score(case, output): return True")
    install(site, "tone-b", ["tone = tone_b:score"], "def score(case, output): return False")
    monkeypatch.syspath_prepend(site)
    [problem] = bench.problems(plugin("tone"))
    assert problem == (
        "set.yaml:7: metric 'tone': tone-a (tone_a:score) and tone-b (tone_b:score) both offer it. "
        "Uninstall one, or write the reference."
    )
    [(_, score)] = bench.score(plugin("tone_b:score"))
    assert score.passed is False


def test_a_near_spelling_is_looked_for_among_installed_plugins_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bench.folder.parent / "site"
    install(site, "tone-metrics", ["politeness = tone_metrics:score", "whole = tone_metrics"])
    monkeypatch.syspath_prepend(site)
    missing, whole = bench.problems(plugin("politness"), plugin("whole"))
    assert "Did you mean 'politeness'?" in missing
    assert "tone-metrics offers the module 'tone_metrics', not an object in it" in whole


def test_a_refused_metric_leaves_no_process_of_the_others(bench: Bench) -> None:
    bench.write(
        "plugin.py",
        """
        import os
        from pathlib import Path
        Path("pid").write_text(str(os.getpid()))
        def metric(case, output): return True
        """,
    )
    bench.problems(plugin("./plugin.py:metric"), plugin("./missing.py:metric"))
    pid = int((bench.folder / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- the public names ---------------------------------------------------------------------------


def test_public_names_are_loaded_when_asked_for_and_not_before() -> None:
    code = (
        "import sys, evalkit; assert evalkit.__version__; assert 'Score' in dir(evalkit);"
        "assert 'evalkit.core.literals' not in sys.modules; evalkit.Score; evalkit.Case; evalkit.Output;"
        "assert 'evalkit.core.literals' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Scorer'"):
        _ = evalkit.Scorer  # type: ignore[attr-defined]  # that is the point
