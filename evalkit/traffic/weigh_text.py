"""Show the weights of a set by traffic, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from evalkit.core.format import format_count
from evalkit.core.safe_text import format_json
from evalkit.report.screen import Screen, align_columns, heading, join_sections
from evalkit.traffic.case_weights import Resemblance, Weighing

_MAX_CLUSTERS = 12
_MAX_NAMED = 2


def weigh_json(weighing: Weighing, path: str) -> str:
    """Return the weights as JSON; `path` is the file that has them."""
    plain = msgspec.to_builtins(weighing)
    plain |= {
        name: [each._asdict() for each in getattr(weighing, name)]
        for name in ("clusters", "unmatched", "doubtful")
    }
    return format_json({"schema": "evalkit.traffic_weights/v1", "file": path, **plain})


def weigh_text(weighing: Weighing, path: str, screen: Screen) -> str:
    """Return the weights for people; `path` is the file that has them."""
    sections: list[Sequence[str]] = [
        _fold([_describe_sample(weighing), *weighing.warnings], screen),
        [
            heading("Share of traffic, and of the set", screen),
            *align_columns(
                _list_clusters(weighing),
                screen,
                titles=("cases", "traffic", "set"),
                shrinkable={0: 20},
                right=(1, 2),
            ),
        ],
    ]
    if weighing.unmatched:
        title = f"Resembles no case: {_share(weighing.mix.unmatched)}, most frequent first"
        sections.append([heading(title, screen), *_list_examples(weighing.unmatched, screen)])
    if weighing.doubtful:
        title = "Resembles a case the least: look whether these ask the same"
        sections.append([heading(title, screen), *_list_examples(weighing.doubtful, screen)])
    advice = f"Wrote {path}. Commit it; thresholds with estimand: traffic use it."
    return join_sections([*sections, _fold([advice], screen)])


def _fold(texts: Sequence[str], screen: Screen) -> list[str]:
    """Return texts as lines of the screen."""
    return [line for text in texts for line in screen.fold(text)]


def _describe_sample(weighing: Weighing) -> str:
    mix = weighing.mix
    of = f" of {weighing.found:,}" if weighing.found > mix.requests else ""
    return (
        f"{_share(1 - mix.unmatched)} of {mix.requests:,}{of} requests from {mix.since} to {mix.until} resemble "
        f"a case ({mix.method}, similarity {mix.at_least:g} or more). They are worth "
        f"{format_count(round(mix.draws), 'independent request')}; one user has {_share(weighing.top_share)} "
        f"of them."
    )


def _list_clusters(weighing: Weighing) -> Iterator[tuple[str, str, str]]:
    shown = weighing.clusters[:_MAX_CLUSTERS]
    for each in shown:
        more = len(each.case_ids) - _MAX_NAMED
        named = ", ".join(each.case_ids[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield (named, _share(each.in_traffic), _share(each.in_set))
    rest = weighing.clusters[_MAX_CLUSTERS:]
    if rest:
        traffic, in_set = (sum(each[column] for each in rest) for column in (1, 2))  # type: ignore[misc]
        yield (f"{len(rest)} others", _share(traffic), _share(in_set))


def _list_examples(examples: Sequence[Resemblance], screen: Screen) -> list[str]:
    rows = [(each.input, each.case_id, f"{each.similarity:.2f}") for each in examples]
    titles = ("input", "nearest case", "similarity")
    return align_columns(rows, screen, titles=titles, shrinkable={0: 24, 1: 12}, right=(2,))


def _share(share: float) -> str:
    return f"{100 * share:.1f}%"
