"""The names of pages: every case and run has one of its own, and none leads out of the site."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from evalkit.view import addresses

NAMES = st.text(max_size=30) | st.sampled_from(
    ["..", ".", "a/b", "A", "a", "../x", "con", "é", "%2e"]
)


@given(st.lists(NAMES, unique=True, max_size=12))
def test_each_case_has_a_page_of_its_own_inside_of_its_run(case_ids: list[str]) -> None:
    names = addresses.name_cases(case_ids)
    assert list(names) == case_ids
    pages = [addresses.case_page("r1", name) for name in names.values()]
    assert len({page.casefold() for page in pages}) == len(case_ids)
    for page in pages:
        assert posixpath.normpath(page) == page
        assert page.startswith("runs/r1/case")
        assert page.count("/") == 2
        assert page.isascii()


@given(NAMES, NAMES)
def test_a_link_leads_to_its_page_from_any_folder(run_id: str, evalset_path: str) -> None:
    pages = [
        addresses.HOME,
        addresses.runs_page(2),
        addresses.set_page(evalset_path),
        addresses.run_page(run_id),
        addresses.case_page(run_id, "case~1"),
        addresses.diff_page("baseline", run_id),
        addresses.compare_page(run_id),
    ]
    assert len(set(pages)) == len(pages)
    for source in pages:
        for target in pages:
            link = addresses.relative_link(source, target)
            assert (
                posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(link)))
                == target
            )
            assert not link.startswith("/")
            assert ":" not in link
