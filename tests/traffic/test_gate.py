"""`evalkit traffic gate`: weeks that got worse, and everything that must never be green."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from evalkit.cli.app import main
from evalkit.commands.help import GUIDE
from tests.conftest import Done, Project
from tests.support.traffic_weeks import Week, read_json

RULES = """\
traffic:
  gate:
    - {metric: escalation_rate, max_rise: 0.08}
    - {metric: success_rate, max_drop: 0.08}
    - {metric: latency_s, stat: p95, max: 4}
    - {metric: latency_s, max_rise: 0.3}
"""


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with stored weeks, which no test changes."""
    root = tmp_path_factory.mktemp("weeks")
    (root / "evalkit.yaml").write_text(RULES)
    for number, name in enumerate(("w48", "w47", "w46", "w45", "w44")):
        Week(users=200, requests=4, before=number).store(root, name)
    Week(users=200, requests=4, escalated=0.4, prefix="new-").store(root, "worse")
    Week(users=200, requests=4, prefix="a-", skipped_days=(5, 6)).store(root, "no-weekend")
    Week(users=200, requests=4, prefix="b-", skipped_days=(2,)).store(root, "no-wednesday")
    Week(users=200, requests=4, prefix="c-", until_hour=12).store(root, "half-sunday")
    Week(users=200, requests=4, prefix="d-", escalated=None).store(root, "unknown")
    Week(users=20, requests=4, prefix="e-").store(root, "few")
    Week(users=200, requests=4, prefix="f-").store(
        root, "early", imported=datetime(2026, 11, 30, tzinfo=UTC)
    )
    Week(users=1, requests=1, skipped_days=range(7)).store(root, "empty")
    Week(users=100, before=5, prefix="i-").store(root, "half")
    Week(users=100, before=5, prefix="j-", escalated=None).store(root, "half")
    Week(users=200, requests=4, before=6, priced=1).store(root, "priced")
    Week(users=200, requests=4, prefix="l-", known=0.5, priced=0.5).store(root, "blurred")
    Week(users=200, requests=4, before=6, prefix="m-", rated=0.6).store(root, "rated")
    Week(users=200, requests=4, prefix="n-", rated=0.6, rated_days=(0,)).store(root, "monday")
    Week(users=200, requests=4, prefix="o-", rooted=0.9).store(root, "rootless")
    for seed, (version, skipped, failed) in enumerate(
        [("v1", (5, 6), 0.05), ("v2", (5, 6), 0.05), ("v2", range(5), 1.0)]
    ):
        week = Week(
            users=300, requests=6, prefix=f"p{seed}-", version=version, skipped_days=skipped,
            failed=failed, seed=seed,
        )  # fmt: skip
        week.store(root, "rollout")
    for name, has_sessions in (("fallback", False), ("sessions", True)):
        Week(users=200, requests=4, prefix="q-", has_sessions=has_sessions).store(root, name)
        week = Week(
            users=200, requests=4, prefix="r-", version="v2", failed=0.3, fallback="v1", seed=1,
            has_sessions=has_sessions,
        )  # fmt: skip
        week.store(root, name)
    # The same requests under other ids, and a week of which most was lost.
    Week(users=200, requests=4, renamed="copy-").store(root, "copy")
    Week(users=200, requests=1, prefix="k-").store(root, "lost")
    canary = Week(
        users=100, requests=4, prefix="g-", version="v2", escalated=0.4, skipped_days=(0, 1)
    )
    canary.store(root, "mixed")
    Week(users=200, requests=4, prefix="h-").store(root, "mixed")
    return root


@pytest.fixture
def gate(
    weeks: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Return the command, run in this process in the project with the weeks."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(weeks)
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, rules: str | None = RULES) -> Done:
        if rules is not None:
            (weeks / "evalkit.yaml").write_text(rules)
        with pytest.raises(SystemExit) as exit_info:
            main(("traffic", "gate", *arguments))
        out, err = capfd.readouterr()
        return Done(code=int(exit_info.value.code or 0), out=out, err=err)

    return run


def test_an_unchanged_week_passes(gate: Callable[..., Done]) -> None:
    done = gate("w48", "--against", "w47")
    assert done.code == 0, done.out
    assert done.out.startswith("PASS: All 4 thresholds hold.")
    assert done.out.rstrip().endswith("PASS  w48  4 of 4 thresholds hold  800 requests  exit 0")
    # One earlier week says nothing about how much weeks differ.
    assert "One earlier period cannot show" in done.out
    several = gate("w48", *(f"--against=w{number}" for number in (47, 46, 45, 44)))
    assert several.code == 0
    assert "One earlier period" not in several.out


def test_a_worse_week_fails_in_every_format(gate: Callable[..., Done], tmp_path: Path) -> None:
    markdown, junit = tmp_path / "gate.md", tmp_path / "gate.xml"
    done = gate(
        "worse", "--against", "w47", "--format", "json", "--markdown", str(markdown), "--junit", str(junit),
    )  # fmt: skip
    assert done.code == 1
    found = read_json(done.out)
    assert (found["schema"], found["outcome"], found["exit_code"]) == (
        "evalkit.traffic_gate/v1",
        "fail",
        1,
    )
    rise = found["thresholds"][0]
    assert (rise["metric"], rise["limit"], rise["outcome"]) == (
        "escalation_rate",
        "max_rise",
        "fail",
    )
    assert rise["low"] < rise["difference"] < rise["high"]
    assert rise["p_value"] < 0.001
    assert rise["weighted_by"] == "weekday"
    assert rise["counts"] == {"requests": 800, "known": 800, "users": 200}
    assert rise["shared_users"] == 0
    assert [each["outcome"] for each in found["thresholds"][1:]] == ["pass"] * 3
    assert markdown.read_text().startswith("### FAIL: Traffic worse against w47")
    assert "| FAIL | `escalation_rate` |" in markdown.read_text()
    root = ET.parse(junit).getroot()
    assert (root.get("failures"), root.get("errors")) == ("2", "0")
    failed = [
        case.get("name") for case in root.iter("testcase") if case.find("failure") is not None
    ]
    assert failed == ["verdict", "escalation_rate"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("w48", 3, "there is nothing to compare with"),
        ("no-weekend --against w47", 3, "no-weekend lacks Sat, Sun, which the earlier traffic has"),
        ("w48 --against no-weekend", 3, "no-weekend has no request on 2026-11-28, 2026-11-29"),
        ("no-wednesday --against w47", 3, "no-wednesday has no request on Wed 2026-11-25"),
        ("half-sunday --against w47", 3, "half-sunday has no request on Sun 2026-11-29 12:00 to"),
        ("w48 --against w47 --days 2026-11-23..2026-12-06", 3, "has no request on Mon 2026-11-30"),
        ("unknown --against w47", 3, "escalation_rate: the measure is unknown for every request"),
        ("few --against w47", 3, "20 users in few, and at least 30 are needed"),
        ("empty --against w47", 5, "the traffic 'empty' has no requests"),
        ("w48 --version v7 --against w47", 5, "no request of 'w48' has the version 'v7'. There are: v1 (800)"),
        ("w48 --version unversioned --against w47", 5, "has the version 'unversioned'"),
        ("w48 --against w47 --against-version v7", 5, "no request of 'w47' has the version 'v7'"),
        ("w48 --days 2026-01-01 --against w47", 5, "It has 2026-11-23 to 2026-11-29"),
        ("w48 --environment prod --against w47", 5, "has the environment 'prod'"),
        ("w48 --against w48", 2, "800 requests of w48 are also in w48, and traffic cannot be compared"),
        ("w48 --against w47 --against w47", 2, "are also in w47"),
        ("w48 --against copy", 2, "800 requests of w48 are also in copy"),
        ("lost --against w47", 3, "lost has 200 requests, and 800 are usual on so many days"),
        ("w49 --against w47", 2, "Did you mean 'w48'?"),
        ("../w48 --against w47", 2, "is not a name for traffic"),
        ("w48 --against w47 --days yesterday", 2, "write FIRST..LAST"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_never_green(
    gate: Callable[..., Done], arguments: str, code: int, message: str
) -> None:
    done = gate(*arguments.split())
    said = " ".join((done.out + done.err).split())
    assert message in said
    assert done.code == code
    assert "PASS:" not in said


@pytest.mark.parametrize(
    ("rule", "arguments", "code", "message"),
    [
        ("{metric: latency_s, stat: p99, max: 9}", "w48", 3, "at least 1,000 are needed for p99"),
        ("{metric: satisfaction, min: 0.1}", "early", 3, "Import its feedback again after 2026-12-0"),
        ("{metric: escalation_rate, max_rise: 0.2}", "w48 --against half", 3, "known for 100% of the requests of w48, and for 5"),
        ("{metric: error_rate, max: 0.5}", "blurred", 3, "is known for 50% of the requests of blurred, and a limit needs 90%"),
        ("{metric: error_rate, max: 0.5}", "blurred --against w47", 3, "known for 50% of the requests of blurred, and for 100% of w47"),
        ("{metric: cost_per_success_usd, max_rise: 0.5}", "blurred --against priced", 3, "known for 50% of the requests of blurred, and for"),
        ("{metric: cost_per_success_usd, max: 0.5}", "priced", 0, "PASS"),
        ("{metric: satisfaction, min: 0.1}", "monday", 3, "unknown for most of the requests of monday on Tue 2026-11-24"),
        ("{metric: satisfaction, max_drop: 0.3}", "monday --against rated", 3, "requests of monday on Tue 2026-11-24"),
        ("{metric: satisfaction, max_drop: 0.3}", "rated --against monday", 3, "requests of monday on Tue 2026-11-24"),
        ("{metric: satisfaction, min: 0.1}", "rated", 0, "PASS"),
        ("{metric: error_rate, max: 0.5}", "rootless", 3, "10% of the traces of rootless have no root. Import"),
        ("{metric: error_rate, max: 0.5}", "rootless --against w47", 3, "have no root, and 0% before"),
        ("{metric: succes_rate, min: 0.1}", "w48", 2, "evalkit.yaml:3: traffic: gate: 'succes_rate' is no measure"),
        ("{metric: success_rate, max_rise: 0.1}", "w48", 2, "better when it is higher. Use max_drop"),
        ("{metric: success_rate, stat: p95, min: 0.1}", "w48", 2, "has no p95"),
    ],
)  # fmt: skip
def test_a_measure_that_says_too_little_is_never_green(
    gate: Callable[..., Done], rule: str, arguments: str, code: int, message: str
) -> None:
    done = gate(*arguments.split(), rules=f"traffic:\n  gate:\n    - {rule}\n")
    assert message in " ".join((done.out + done.err).split())
    assert done.code == code


def test_a_damaged_file_is_not_left_out(gate: Callable[..., Done], weeks: Path) -> None:
    folder = weeks / ".evalkit/traffic/damaged"
    shutil.copytree(weeks / ".evalkit/traffic/w47", folder)
    file = next((folder / "requests").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:300])
    done = gate("damaged", "--against", "w46")
    assert done.code == 3
    assert "a stored file is damaged" in done.err


def test_the_thresholds_of_the_guide_are_valid(gate: Callable[..., Done]) -> None:
    [rules] = re.findall(
        r"```yaml\n(traffic:.*?)```", (GUIDE / "traffic-gate.md").read_text(), re.DOTALL
    )
    done = gate("w48", "--against", "w47", rules=rules)
    assert done.code == 3, done.err  # no request has a cost
    assert "cost_usd: the measure is unknown" in done.out


def test_two_versions_are_compared_on_the_days_they_share(gate: Callable[..., Done]) -> None:
    done = gate("mixed", "--version", "v2", "--against-version", "v1", "--format", "json")
    found = read_json(done.out)
    assert done.code == 1
    assert found["same_days"] is True
    assert found["against"][0]["days"] == found["candidate"]["days"]
    assert found["candidate"]["days"][0] == "2026-11-25"
    assert found["thresholds"][0]["weighted_by"] == "day"


def test_a_limit_is_about_all_days_of_a_version(gate: Callable[..., Done]) -> None:
    rules = (
        "traffic:\n  gate: [{metric: error_rate, max: 0.2}, {metric: error_rate, max_rise: 0.2}]\n"
    )
    # v2 fails only after the days that it shares with v1.
    done = gate("rollout", "--version=v2", "--against-version=v1", "--format=json", rules=rules)
    limit, rise = read_json(done.out)["thresholds"]
    assert (limit["outcome"], rise["outcome"], done.code) == ("fail", "undecided", 3)
    assert (limit["counts"]["requests"], rise["counts"]["requests"]) == (1800, 1286)
    rules = "traffic:\n  gate: [{metric: error_rate, max: 0.2}]\n"
    assert gate("rollout", "--version=v2", "--against-version=v1", rules=rules).code == 1


def test_a_failure_counts_where_another_version_made_it_good(gate: Callable[..., Done]) -> None:
    rules = (
        "traffic:\n  gate: [{metric: error_rate, max_rise: 0.1}, {metric: error_rate, max: 0.15}]\n"
    )
    versions = ("--version=v2", "--against-version=v1")
    done = gate("fallback", *versions, rules=rules)
    assert done.code == 1
    assert "2 of 2 thresholds failed" in done.out
    # Sessions with both versions count for neither, which no threshold may pass by.
    mixed = gate("sessions", *versions, rules=rules)
    assert mixed.code == 3
    assert "2 of 2 thresholds undecided" in mixed.out
    assert "its outcome is another one with the requests that are left out" in " ".join(
        mixed.out.split()
    )


def test_noise_goes_by_the_policy_and_too_little_data_does_not(gate: Callable[..., Done]) -> None:
    rules = (
        "traffic:\n  on_inconclusive: pass\n  gate: [{metric: escalation_rate, max_rise: 0.01}]\n"
    )
    noisy = gate("w48", "--against", "w47", rules=rules)
    assert noisy.out.startswith("INCONCLUSIVE: ")
    assert "About" in noisy.out
    assert noisy.code == 0
    few = gate("few", "--against", "w47", rules=rules)
    assert few.code == 3
    strict = rules.replace("  on_inconclusive: pass\n", "")
    assert gate("w48", "--against", "w47", rules=strict).code == 3


def test_a_change_cannot_loosen_its_own_gate(
    gate: Callable[..., Done],
    weeks: Path,
    project: Project,
    git: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("worse", "w47"):
        place = f".evalkit/traffic/{name}"
        shutil.copytree(weeks / place, project.folder / place)
    project.write(".gitignore", ".evalkit/\n")
    project.write("evalkit.yaml", RULES)
    monkeypatch.chdir(project.folder)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "thresholds")
    git("checkout", "-q", "-b", "change")
    project.write("evalkit.yaml", RULES.replace("max_rise: 0.08", "max_rise: 0.9"))
    git("commit", "-qam", "looser")
    done = gate("worse", "--against=w47", "--base=main", rules=None)
    assert done.code == 4
    said = " ".join(done.out.split())
    assert "it loosens its own gate: threshold escalation_rate: max_rise 0.08" in said
    assert "the result is FAIL" in said
    assert (
        gate("worse", "--against=w47", "--base=main", "--accept-gate-changes", rules=None).code == 0
    )
    project.write("evalkit.yaml", "seed: 1\n")
    git("commit", "-qam", "none")
    removed = gate("worse", "--against=w47", "--base=main", rules=None)
    assert removed.code == 4
    assert "traffic: removed" in removed.out
    assert gate("worse", "--against=w47", "--require-base", rules=None).code == 2
