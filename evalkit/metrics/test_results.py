"""Count the tests in what a test command reports: JUnit XML, or the last line that pytest prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_XML_BYTES = 5_000_000

_COUNT_PATTERN = re.compile(r"\b(\d{1,9}) (passed|failed|errors?|skipped|xfailed|xpassed)\b")
_MAX_SUMMARY_LINES = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class TestCounts:
    """Tests by outcome, without those that were skipped."""

    passed: int
    total: int

    __test__ = False  # pytest would take it for a test class


def read_junit(data: bytes) -> TestCounts:
    """Count the test cases of a JUnit XML report.

    Raises:
        ValueError: it is not a JUnit XML report, is too large, or declares entities.
    """
    # Imported here because only sets with JUnit reports need them.
    from xml.etree import ElementTree as ET  # noqa: PLC0415
    from xml.parsers import expat  # noqa: PLC0415

    if len(data) > MAX_XML_BYTES:
        raise ValueError(f"it is larger than {MAX_XML_BYTES:,} bytes")
    try:
        # The parser finds a declaration in every encoding that it reads.
        scanner = expat.ParserCreate()
        scanner.StartDoctypeDeclHandler = _refuse_declaration
        scanner.Parse(data, True)
        root = ET.fromstring(data)  # noqa: S314 - without entities there is nothing to expand
    except (ET.ParseError, expat.ExpatError, LookupError) as error:
        raise ValueError(f"it is not XML: {error}") from error
    if root.tag not in ("testsuites", "testsuite"):
        raise ValueError(f"it begins with <{root.tag[:40]}>, not <testsuites>")
    passed = total = 0
    for case in root.iter("testcase"):
        tags = {child.tag for child in case}
        if "skipped" in tags:
            continue
        total += 1
        passed += not tags & {"failure", "error"}
    return TestCounts(passed=passed, total=total)


def _refuse_declaration(*_: object) -> None:
    # Nested entities of a few bytes can expand to gigabytes.
    raise ValueError("it declares entities, which no test report needs")


def read_summary(printed: str) -> TestCounts | None:
    """Return the counts in the last line that has some, such as `3 passed, 1 failed in 0.1s`, or None."""
    for line in reversed(printed.splitlines()[-_MAX_SUMMARY_LINES:]):
        # Summaries are short; the limit bounds the search in lines that are not.
        found = _COUNT_PATTERN.findall(line[-500:])
        counts = {word.rstrip("s"): int(number) for number, word in found}
        if counts:
            passed = counts.get("passed", 0) + counts.get("xpassed", 0)
            return TestCounts(
                passed=passed, total=passed + counts.get("failed", 0) + counts.get("error", 0)
            )
    return None
