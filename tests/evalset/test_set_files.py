"""Which files of a folder are eval sets, and what the others are; none is left out without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.core.errors import InvalidInput
from evalkit.evalset.set_files import find_sets


@pytest.mark.parametrize(
    "text",
    [
        "cases: []\n",
        '{"cases": []}\n',
        "case:\n- {id: a}\n",
        "evalsets: x\n",
        "agent: {python: a.py:b}\nmetrics: [exact_match]\n",
        "cases:\n- {id: a\n",
        "cases: !tag x\n",
        "criteria: []\ncases: []\n",
    ],
)
def test_what_may_be_meant_as_a_set_is_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.YAML"
    path.write_text(text)
    assert find_sets([tmp_path]).sets == (path,)


@pytest.mark.parametrize(
    ("name", "text", "reason", "is_unknown"),
    [
        ("evalkit.yaml", "agent: {}\nmetrics: []\n", "the project file", False),
        ("tone.yaml", "criteria: []\npass_at: 1\n", "a rubric", False),
        ("more.yml", "cases:\n- {id: a}\n", "cases of a set", False),
        ("list.yaml", "- {id: a}\n", "no mapping of keys", True),
        ("empty.yaml", "", "no mapping of keys", True),
        ("kustomization.yaml", "bases: [x]\nmetrics: []\n", "no key of an eval set", True),
        ("many.yaml", "a: 1\n---\nb: 2\n", "no mapping of keys", True),
    ],
)
def test_every_other_file_is_named_with_what_it_is(
    tmp_path: Path, name: str, text: str, reason: str, is_unknown: bool
) -> None:
    (tmp_path / "set.yaml").write_text("cases: more.yml\n")
    (tmp_path / name).write_text(text)
    found = find_sets([tmp_path])
    assert found.sets == (tmp_path / "set.yaml",)
    assert [(one.path.name, one.reason, one.is_unknown) for one in found.skipped] == [
        (name, reason, is_unknown)
    ]


def test_links_are_followed_once_and_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "inner"
    inner.mkdir(parents=True)
    (inner / "set.yaml").write_text("cases: []\n")
    (inner / "up").symlink_to(tmp_path)
    (tmp_path / "b.yaml").symlink_to(inner / "set.yaml")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "set.yaml").write_text("cases: []\n")
    assert find_sets([tmp_path]).sets == (tmp_path / "b.yaml",)
    assert find_sets([tmp_path / "*" / "*"]).sets == (inner / "set.yaml",)
    # A file that the user names is a set, whatever is in it: reading it says what is wrong.
    odd = tmp_path / "odd.txt"
    odd.write_text("hello\n")
    assert find_sets([odd, tmp_path / "a"]).sets == (odd, inner / "set.yaml")
    (tmp_path / "none").mkdir()
    for nothing in (tmp_path / "none", tmp_path / "none*.yaml"):
        with pytest.raises(InvalidInput):
            find_sets([odd, nothing])
