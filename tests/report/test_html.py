"""The HTML report: one file, no network, data that is never markup, usable by keyboard and at any width."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evalkit.core.spans import Span
from evalkit.report.case_status import case_results
from evalkit.report.html.batch import render_batch_html
from evalkit.report.html.diff import render_diff, render_matrix
from evalkit.report.html.page import render_macro
from evalkit.report.html.report import render_html
from evalkit.report.html.views import TableCell, TextBlock, word_diff
from evalkit.report.html.waterfall import render_waterfall
from evalkit.report.model import Report
from tests.report.test_safety import HARMLESS, NAUGHTY, before_each, poison
from tests.support.browser import check_page, check_widths, open_page
from tests.support.report_samples import failing_report, shown_batch, shown_diff, shown_matrix

VOID = frozenset({"br", "hr", "input", "meta", "line", "rect", "circle", "path"})


class Tree(HTMLParser):
    """The elements of a page as a browser sees them: names, attribute names, nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.shape: list[tuple[str, ...]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((*self.open, name, *sorted(key for key, _ in attrs)))
        self.attributes += [(name, key, value or "") for key, value in attrs]
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        if name not in VOID:
            assert self.open.pop() == name


def tree_of(page: str) -> Tree:
    tree = Tree()
    tree.feed(page)
    assert not tree.open
    return tree


@pytest.mark.parametrize("naughty", NAUGHTY.values(), ids=NAUGHTY.keys())
def test_data_changes_no_element_of_the_page(naughty: str) -> None:
    benign = tree_of(render_html(poison(failing_report(), before_each(HARMLESS))))
    page = render_html(poison(failing_report(), before_each(naughty)))
    tree = tree_of(page)
    marked = {"ins", "del", "mark"}
    assert [path for path in tree.shape if not marked & set(path)] == [
        path for path in benign.shape if not marked & set(path)
    ]
    assert not [key for _, key, _ in tree.attributes if key.startswith("on") or key == "style"]
    links = [value for name, key, value in tree.attributes if key in ("href", "src")]
    assert all(link.startswith("#") for link in links)
    assert page.count("<script") == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)


def test_outside_of_the_cases_no_sentence_is_said_twice() -> None:
    page = render_html(failing_report())
    for part in (
        r"<style>.*?</style>",
        r"<script>.*?</script>",
        r'<section id="cases".*?</section>',
    ):
        page = re.sub(part, "", page, flags=re.DOTALL)
    texts = [unescape(text).strip() for text in re.split(r"<[^>]+>", page)]
    sentences = [each for text in texts for each in re.split(r"(?<=[.;]) ", text)]
    long = [each for each in sentences if len(each.split()) >= 6 and each.endswith(".")]
    assert len(long) > 5
    assert len(long) == len(set(long))


def test_data_is_text_in_elements_and_in_attributes() -> None:
    table = str(render_macro("table", ['"x"'], [[TableCell("<b>", note="1 & 2")]], "t"))
    assert '<td data-label="&#34;x&#34;">&lt;b&gt;<p class="why">1 &amp; 2</p></td>' in table
    bold = str(render_macro("table", [""], [[TableCell("\u202e\x1b<script>", bold=True)]], "t"))
    assert r"<b>\u202e\x1b&lt;script&gt;</b>" in bold


def test_a_difference_holds_both_texts() -> None:
    for before, after in (("a b c", "a x c"), ("", "new"), ("old", ""), ("x " * 4000, "y")):
        page = str(render_macro("text_block", TextBlock("", "", word_diff(before, after))))
        _, _, rest = page.partition('<pre class="difference">')
        shown, _, after_it = rest.partition("</pre>")
        assert "pre" not in after_it
        kept_out = re.sub(r"<ins>.*?</ins>", "", shown, flags=re.DOTALL)
        put_in = re.sub(r"<del>.*?</del>", "", shown, flags=re.DOTALL)
        assert re.sub(r"</?del>", "", kept_out) == before
        assert re.sub(r"</?ins>", "", put_in) == after


def test_a_difference_of_two_texts_names_the_words_that_changed() -> None:
    before = "The refund takes five days.\nWe write to you when it is done."
    after = "The refund takes two days.\nWe call you when it is done."
    kinds = [(part.kind, part.text) for part in word_diff(before, after)]
    assert kinds == [
        ("same", "The refund takes "),
        ("del", "five"),
        ("ins", "two"),
        ("same", " days.\nWe "),
        ("del", "write to"),
        ("ins", "call"),
        ("same", " you when it is done."),
    ]
    # A name that stays, between sentences that change, would only cut these into pieces.
    shout = word_diff("Write to Ann today.", "WRITE TO Ann TODAY.")
    assert [part.kind for part in shout] == ["del", "ins", "same"]


@pytest.mark.parametrize("change", [str.upper, lambda text: text[::-1], lambda text: text * 2])
def test_a_difference_of_long_texts_without_a_common_word_holds_both(
    change: Callable[[str], str],
) -> None:
    rng = random.Random(13)
    before = " ".join(f"word{rng.randrange(300)}," for _ in range(1_600))
    parts = word_diff(before, change(before))
    assert "".join(part.text for part in parts if part.kind != "ins") == before
    assert "".join(part.text for part in parts if part.kind != "del") == change(before)


def test_steps_are_drawn_however_deep_they_stand() -> None:
    deep = [Span(id=f"d{n}", name=f"deep{n}", parent_id=f"d{n - 1}") for n in range(1_000)]
    shown = str(render_waterfall(deep, 100, 1_000_000))
    assert shown.count("deep") == 60
    assert "940 more steps" in shown


def large(report: Report) -> Report:
    """Two hundred cases, each of which said a great deal."""
    [trial, *_] = [trial for trial in report.run.trials if trial.output.error is None]
    [case, *_] = report.run.header.cases
    words = "<&\u202e> long words " * 20_000
    cases = tuple(replace(case, id=f"case {n} & <b>", input=words) for n in range(200))
    trials = tuple(
        replace(trial, case_id=each.id, output=replace(trial.output, text=words)) for each in cases
    )
    header = replace(report.run.header, cases=cases)
    return replace(report, run=replace(report.run, header=header, trials=trials))


def test_two_hundred_cases_stay_under_a_megabyte() -> None:
    assert len(render_html(large(failing_report())).encode()) < 1_000_000


@pytest.fixture(scope="module")
def page_of_a_failed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(traced(failing_report())))
    return path


def traced(report: Report) -> Report:
    """The report with two steps of every trial, of this run and of the baseline."""
    steps = (
        Span(id="a", name="look up", kind="tool", tool="search", start_s=0.2, duration_s=0.1),
        Span(
            id="b", name="answer", kind="model", start_s=0.3, duration_s=0.5, error_type="Timeout"
        ),
    )
    spans, base_spans = (
        {(trial.case_id, trial.number): steps[:count] for trial in run.trials}
        for run, count in ((report.run, 2), (report.baseline or report.run, 1))
    )
    return replace(report, spans=spans, base_spans=base_spans)


def test_every_page_holds_at_three_widths_and_in_both_themes(
    browser: Any, page_of_a_failed_run: Path, tmp_path: Path
) -> None:
    check_page(browser, page_of_a_failed_run)
    path = tmp_path / "large.html"
    path.write_text(render_html(large(failing_report())))
    with open_page(browser, path.as_uri()) as page:
        page.locator(".case summary").first.click()
        check_widths(page)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(lambda: render_batch_html(shown_batch()), id="several runs"),
        pytest.param(lambda: render_diff(shown_diff()), id="two runs"),
        pytest.param(lambda: render_matrix(shown_matrix()), id="versions"),
    ],
)
def test_pages_of_several_runs_are_sound(
    browser: Any, page: Callable[[], str], tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page())
    check_page(browser, path)


def test_cases_are_filtered_moved_between_and_linked(
    browser: Any, page_of_a_failed_run: Path
) -> None:
    report = failing_report()
    results = case_results(report.run, report.gate_result, report.baseline)
    folded = {"still_failing", "passed", "not_scored"}
    changed = [result for result in results if result.status not in folded or result.is_broken]
    url = page_of_a_failed_run.as_uri()
    with open_page(browser, url) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        shown = page.locator(".case:visible")
        assert shown.count() == len(changed) < len(results)
        page.locator("button[data-filter=regressed]").click()
        regressed = [result.case.id for result in results if result.status == "regressed"]
        assert shown.count() == len(regressed)
        assert f"{len(regressed)} of {len(results)} cases" in page.locator(".count").inner_text()
        page.locator("button[data-filter='']").click()
        page.keyboard.press("/")
        page.keyboard.type("warranty")
        assert shown.count() == 1
        page.keyboard.press("Escape")
        assert shown.count() == len(changed)
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        [opened] = page.locator(".case[open]").all()
        assert opened.get_attribute("data-rank") == "0"
        page.select_option("#tag", "shipping")
        assert shown.count() == sum("shipping" in result.case.tags for result in results)
        page.select_option("#tag", "")
        page.select_option("#sort", "id")
        ids = "rows => rows.map(row => row.dataset.id)"
        assert page.eval_on_selector_all(".case", ids) == sorted(each.case.id for each in results)
        page.select_option("#sort", "rank")
        assert shown.count() == len(changed)
        [fold, *_] = [result.case.id for result in results if result not in changed]
        page.goto(f"{url}#case-{fold}")
        page.reload()
        assert page.locator(f"[id='case-{fold}'][open]:visible").count() == 1
        assert {request.partition("#")[0] for request in asked} == {url}, "nothing else is loaded"


def test_the_result_and_the_worst_cases_are_on_the_first_screen(
    browser: Any, page_of_a_failed_run: Path
) -> None:
    end = "document.querySelector('.worst').getBoundingClientRect().bottom"
    for width, height in ((1200, 800), (390, 844)):
        with open_page(browser, page_of_a_failed_run.as_uri(), width) as page:
            assert page.locator(".worst li").count() >= 3
            assert page.evaluate(end) <= height
            [badge] = page.locator(".verdict.big").all()
            assert badge.inner_text() == "FAIL"


def test_the_page_is_readable_and_printable_without_scripts(
    browser: Any, page_of_a_failed_run: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of_a_failed_run.as_uri())
    assert not page.locator("#controls").is_visible()
    row = page.locator(".case").first
    row.locator("summary").click()
    assert row.locator(".detail").is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".threshold").first.is_visible()
    assert not page.locator("footer").is_visible()
    context.close()


def test_a_waterfall_draws_both_runs_on_one_axis(browser: Any, page_of_a_failed_run: Path) -> None:
    with open_page(browser, page_of_a_failed_run.as_uri()) as page:
        row = page.locator(".case[data-status=regressed]").first
        row.locator("summary").first.click()
        before, now = row.locator(".waterfall").all()
        for side, title in ((before, "steps before"), (now, "steps now")):
            assert side.locator("h4").inner_text().startswith(f"{title}, on a time axis of 600 ms")
        [one] = before.locator(".step rect").all()
        other, broken = now.locator(".step rect").all()
        widths = [each.bounding_box()["width"] for each in (one, other, broken)]
        assert widths == pytest.approx([widths[0], widths[0], 5 * widths[0]], rel=0.02)
        assert broken.get_attribute("class") == "model broken"


def test_a_script_in_the_data_does_not_run(browser: Any, tmp_path: Path) -> None:
    poisoned = poison(
        failing_report(),
        before_each("<img src=x onerror='window.hit=1'><script>window.hit=1</script>"),
    )
    path = tmp_path / "report.html"
    path.write_text(render_html(poisoned))
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    page.close()
