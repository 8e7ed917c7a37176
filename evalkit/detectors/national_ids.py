"""The numbers that states give to people, found by form, checksum, and the words before them.

python-stdnum checks them. Many are plain digits whose checksum one in ten order numbers passes, so
those need a word before them that says what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import NamedTuple, cast

from evalkit.detectors.findings import Finding

CONTEXT_CHARS = 48
"""Characters before a number in which a word may say what it is."""


class _Form(NamedTuple):
    """A kind of number: its pattern, the module of python-stdnum, and the words that must precede it."""

    name: str
    pattern: str
    words: str = ""


_FORMS = (
    _Form("us.ssn", r"\d{3}-\d{2}-\d{4}"),
    _Form("us.ssn", r"\d{3} ?\d{2} ?\d{4}", r"\bssn\b|social security"),
    _Form("us.itin", r"9\d{2}-\d{2}-\d{4}"),
    _Form("gb.nino", r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]) \d{2} \d{2} \d{2} (?i:[A-D])"),
    _Form("gb.nino", r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z])\d{6}(?i:[A-D])", r"\bnino\b|national insurance|\bni\b"),
    _Form("gb.nhs", r"\d{3} ?\d{3} ?\d{4}", r"\bnhs\b"),
    _Form("de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", r"steuer|\bidnr\b|\btax id|\btin\b"),
    _Form("fr.nir", r"[1278] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"),
    _Form("es.dni", r"\d{8}-?[A-Za-z]"),
    _Form("es.nie", r"[XYZxyz]-?\d{7}-?[A-Za-z]"),
    _Form("it.codicefiscale", r"(?i:[A-Z]{6}\d{2}[ABCDEHLMPRST]\d{2}[A-Z]\d{3}[A-Z])"),
    _Form("nl.bsn", r"\d{4}\.?\d{2}\.?\d{3}", r"\bbsn\b|burgerservice|sofi"),
    _Form("pl.pesel", r"\d{11}", r"pesel"),
    _Form("se.personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}"),
    _Form("fi.hetu", r"\d{6}[-+A-F]\d{3}[0-9A-Z]"),
    _Form("dk.cpr", r"\d{6}-?\d{4}", r"\bcpr\b|personnummer"),
    _Form("no.fodselsnummer", r"\d{6} ?\d{5}", r"f.dselsn|personnummer|national id"),
    _Form("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
    _Form("ch.ssn", r"756\.\d{4}\.\d{4}\.\d{2}"),
    _Form("pt.nif", r"\d{3} ?\d{3} ?\d{3}", r"\bnif\b|contribuinte"),
    _Form("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    _Form("br.cpf", r"\d{11}", r"\bcpf\b"),
    _Form("mx.curp", r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d"),
    _Form("ca.sin", r"\d{3}[ -]?\d{3}[ -]?\d{3}", r"\bsin\b|social insurance"),
    _Form("au.tfn", r"\d{3} ?\d{3} ?\d{3}", r"\btfn\b|tax file"),
    _Form("in_.aadhaar", r"\d{4} ?\d{4} ?\d{4}", r"a+dha+r|\buid\b"),
    _Form("in_.pan", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]"),
    _Form("cn.ric", r"\d{17}[0-9Xx]"),
    _Form("za.idnr", r"\d{13}", r"\bid\b|identity"),
    _Form("kr.rrn", r"\d{6}-\d{7}"),
)  # fmt: skip

_UNUSED_PREFIXES = {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}
"""Prefixes that no national insurance number has (HMRC, NIM39110)."""


class _Matcher(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    words: re.Pattern[str] | None


NATIONAL_ID_PATTERNS = tuple(rf"(?:^|[^\w.-]){form.pattern}(?:[^\w-]|$)" for form in _FORMS)
"""Patterns for RE2, by the index that `find_national_ids` takes: what a text with such a number has."""


@cache
def _compile_form(index: int) -> _Matcher:
    # Every repetition is bounded, so that the engine of the standard library takes linear time.
    form = _FORMS[index]
    return _Matcher(
        form.name,
        re.compile(rf"(?<![\w.-]){form.pattern}(?![\w-])", re.ASCII),
        re.compile(form.words, re.IGNORECASE) if form.words else None,
    )


def find_national_ids(text: str, indexes: Iterable[int]) -> Iterator[Finding]:
    """Yield the numbers in a text that match the forms of these indexes, by checksum and context."""
    for index in indexes:
        name, pattern, words = _compile_form(index)
        for match in pattern.finditer(text):
            start = match.start()
            if words and not words.search(text, max(0, start - CONTEXT_CHARS), start):
                continue
            value = match[0]
            compact = "".join(filter(str.isalnum, value)).upper()
            # Some checks know no spaces, and others need the signs between the digits.
            if _is_valid(name, value) or _is_valid(name, compact):
                yield Finding(*match.span(), "national_id", compact, name)


def _is_valid(name: str, value: str) -> bool:
    """Return whether python-stdnum accepts the number of this kind; it does not know all of them."""
    if name == "gb.nino":
        return value[:2].upper() not in _UNUSED_PREFIXES
    return cast("bool", import_module(f"stdnum.{name}").is_valid(value))
