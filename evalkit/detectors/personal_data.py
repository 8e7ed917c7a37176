"""Personal data in a text, each kind by its form and a check: e-mail, phone, card, IBAN, national ids.

Names and addresses in free text are not found: no rule separates them from other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

from evalkit.detectors.findings import Finding

PERSONAL_KINDS = ("email", "phone", "card", "iban", "national_id")

EMAIL_MARK = "@"
CARD_PATTERN = r"(?:^|[^\w.])[0-9](?:[ -]?[0-9]){12}"
IBAN_PATTERN = r"(?:^|[^\w])[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11}"
PHONE_PATTERN = r"(?:^|[^\w.,/#-])[+(]?[0-9](?:[ ().\-/]{0,3}[0-9]){6}"
"""Patterns for RE2: a text without a match has nothing of the kind."""

_MAX_LOCAL_CHARS = 64
_MAX_DOMAIN_CHARS = 255
_LOCAL_PART = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_USER_OF_URL = re.compile(r"://[^\s/?#@]{0,64}\Z")
_FILE_NAMES = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|avif|pdf|js|mjs|ts|css|json|ya?ml|py|md|html?|txt|gz|zip)\Z",
    re.IGNORECASE,
)

# Runs are possessive and checked afterwards: a pattern that fails at their end would search them again.
_DIGIT_RUN = re.compile(r"(?<![\w.])[0-9](?:[ -]?[0-9])*+")
_DIGIT_GROUP = re.compile(r"[0-9]+")
# The ranges of issuers (ISO/IEC 7812) with the lengths of their numbers.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}"
    r"|(?:6011|65\d{2}|64[4-9]\d)\d{12}"
    r"|35(?:2[89]|[3-8]\d)\d{12}"
    r"|62\d{14,17}"
    r"|(?:5[06-8]|6[0379])\d{14,17}"
)

_IBAN_RUN = re.compile(r"(?<![^\W_])[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}")

_PHONE_RUN = re.compile(r"(?<![\w.,/#@-])[+(]?[0-9](?:[ ().\-/\u00a0\u2011\u2013]{0,3}[0-9])*+")
_MAX_PHONE_RUN = 120
_NO_PHONE = re.compile(
    r"\d{1,3}(?:\.\d{1,3}){3}"  # an address of IPv4
    r"|\d{4}[-./]\d{1,2}[-./]\d{1,2}(?:\D.*)?"  # a date
    r"|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}(?:\D.*)?"
    r"|\d+\.\d+"  # a decimal
    r"|97[89][- ]?\d(?:[- ]?\d){9}"  # an ISBN
)
_PHONE_WORDS = re.compile(
    r"phone|\btel\b|\btel[.:]|\bcall\b|mobile|\bcell|\bfax\b|whatsapp|\bsms\b|\btext me|\bring\b|\breach\b"
    r"|telefon|t[eé]l[eé]phone|handy|rückruf|llam|m[oó]vil",
    re.IGNORECASE,
)
_OTHER_WORDS = re.compile(
    r"\b(?:order|invoice|ticket|tracking|case|ref(?:erence)?|sku|isbn|serial|part|parcel|shipment|account"
    r"|id|version|build|epoch|timestamp|transaction|bestellung|pedido|commande)\b[^.!?\n]{0,14}\Z",
    re.IGNORECASE,
)


def find_emails(text: str) -> Iterator[Finding]:
    """Yield the e-mail addresses of a text; the time is linear, because each part has a longest length."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL_PART.search(text, max(0, at - _MAX_LOCAL_CHARS), at)
        domain = _DOMAIN.match(text, at + 1, at + 1 + _MAX_DOMAIN_CHARS)
        written = local[0].lstrip(".'`*/={|") if local else ""
        if local and written and domain and not _is_no_address(text, local, domain):
            start = at - len(written)
            value = text[start : domain.end()].casefold()
            yield Finding(start, domain.end(), "email", value, "email")
        at = text.find("@", at + 1)


def _is_no_address(text: str, local: re.Match[str], domain: re.Match[str]) -> bool:
    """Return whether it is a file, as `icon@2x.png`, the user of a URL, or a repository, as `git@host.com:x`."""
    before = text[max(0, local.end() - _MAX_LOCAL_CHARS - 8) : local.end()]
    follows = text[domain.end() : domain.end() + 1]
    is_repository = local[0] == "git" and follows in {":", "/"}
    return bool(is_repository or _FILE_NAMES.search(domain[0]) or _USER_OF_URL.search(before))


def find_cards(text: str) -> Iterator[Finding]:
    """Yield the numbers of payment cards: the range of an issuer, its length, and the check digit (Luhn)."""
    for run in _DIGIT_RUN.finditer(text):
        if len(run[0]) < 13 or text[run.end() : run.end() + 1].isalpha():
            continue
        groups = [match.span() for match in _DIGIT_GROUP.finditer(text, *run.span())]
        done = 0
        for first, (start, _) in enumerate(groups):
            if start < done:
                continue
            digits = ""
            for group_start, end in groups[first : first + 7]:
                digits += text[group_start:end]
                if len(digits) > 19:
                    break
                if len(digits) >= 13 and _ISSUERS.fullmatch(digits) and passes_luhn(digits):
                    yield Finding(start, end, "card", digits, "luhn")
                    done = end
                    break


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit checks the others (ISO/IEC 7812-1, annex B).

    >>> passes_luhn("4111111111111111"), passes_luhn("4111111111111112")
    (True, False)
    """
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def find_ibans(text: str) -> Iterator[Finding]:
    """Yield the international bank account numbers of a text, by their country and checksum."""
    from stdnum import iban  # noqa: PLC0415

    for run in _IBAN_RUN.finditer(text):
        # Words after the number look like its continuation, so shorter ones are tried as well.
        ends = (run.start() + size for size in range(len(run[0]), 14, -1))
        for end in ends:
            if text[end : end + 1].isalnum():
                continue
            compact = text[run.start() : end].replace(" ", "").upper()
            if iban.is_valid(compact, check_country=False):
                yield Finding(run.start(), end, "iban", compact, "iban")
                break


def find_phones(text: str, regions: Sequence[str]) -> Iterator[Finding]:
    """Yield the phone numbers of a text that are valid numbers of a country.

    Without a country code, a number must be valid in one of the regions, such as `US`. Digits in one
    block need a word before them that says that they are a phone number.
    """
    for run in _PHONE_RUN.finditer(text):
        written = run[0]
        follows = text[run.end() : run.end() + 1]
        is_part = follows.isalpha() and follows != "x"  # before an extension
        if len(written) < 7 or is_part or _NO_PHONE.fullmatch(written):
            continue
        before = text[max(0, run.start() - 40) : run.start()]
        is_named = bool(_PHONE_WORDS.search(before)) or written.startswith(("+", "(+", "00"))
        if not is_named and (written.isdigit() or _OTHER_WORDS.search(before)):
            continue
        for offset, raw, number in _match_phones(written[:_MAX_PHONE_RUN], tuple(regions)):
            start = run.start() + offset
            yield Finding(start, start + len(raw), "phone", number, "phone")


@lru_cache(maxsize=4096)
def _match_phones(written: str, regions: tuple[str, ...]) -> tuple[tuple[int, str, str], ...]:
    """Return the offset, the text, and the number in the format E.164 of each phone number."""
    import phonenumbers  # noqa: PLC0415

    for region in regions or (None,):
        matcher = phonenumbers.PhoneNumberMatcher(written, region, max_tries=20)
        found = tuple(
            (
                match.start,
                match.raw_string,
                phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164),
            )
            for match in matcher
        )
        if found:
            return found
    return ()


def check_regions(regions: Iterable[str]) -> None:
    """Raise ValueError for a region of phone numbers that does not exist."""
    unknown = [each for each in regions if each not in _known_regions()]
    if unknown:
        raise ValueError(
            f"regions: {unknown[0]!r} is no region with phone numbers. Use codes such as US, GB, DE."
        )


@cache
def _known_regions() -> frozenset[str]:
    import phonenumbers  # noqa: PLC0415

    return frozenset(phonenumbers.SUPPORTED_REGIONS)
