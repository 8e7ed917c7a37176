"""One right solution for every task of evalsets/code.yaml, written apart from the agent's library."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import Any


def reverse_words(text: str) -> str:
    return " ".join(text.split()[::-1])


def is_palindrome(text: str) -> bool:
    letters = [each for each in text.casefold() if each.isalnum()]
    return letters == letters[::-1]


def count_vowels(text: str) -> int:
    return len(re.findall("[aeiou]", text, re.IGNORECASE))


def caesar(text: str, shift: int) -> str:
    lower, upper = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    k = shift % 26
    table = str.maketrans(lower + upper, lower[k:] + lower[:k] + upper[k:] + upper[:k])
    return text.translate(table)


def run_length(text: str) -> str:
    return "".join(f"{letter}{len(list(group))}" for letter, group in itertools.groupby(text))


def title_case(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:].lower() for word in text.split(" "))


def is_anagram(one: str, other: str) -> bool:
    def plain(text: str) -> list[str]:
        return sorted(text.lower().replace(" ", ""))

    return plain(one) == plain(other)


def longest_word(text: str) -> str:
    return max(text.split(), key=len, default="")


def camel_to_snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def snake_to_camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


def truncate(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def is_pangram(text: str) -> bool:
    return len({letter for letter in text.lower() if "a" <= letter <= "z"}) == 26


def roman_to_int(numeral: str) -> int:
    worth = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    total = 0
    for here, after in itertools.pairwise([*map(worth.__getitem__, numeral), 0]):
        total += -here if here < after else here
    return total


def int_to_roman(number: int) -> str:
    ones, fives, result = "IXCM", "VLD", ""
    for place, digit in reversed(list(enumerate(map(int, str(number)[::-1])))):
        one = ones[place]
        if digit == 9:
            result += one + ones[place + 1]
        elif digit == 4:
            result += one + fives[place]
        else:
            result += (fives[place] if digit >= 5 else "") + one * (digit % 5)
    return result


def to_binary(number: int) -> str:
    return format(number, "b")


def from_binary(text: str) -> int:
    return sum(2**place for place, digit in enumerate(reversed(text)) if digit == "1")


def hamming(one: str, other: str) -> int:
    if len(one) != len(other):
        raise ValueError(one)
    return sum(map(str.__ne__, one, other))


def levenshtein(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    return min(
        levenshtein(one[1:], other) + 1,
        levenshtein(one, other[1:]) + 1,
        levenshtein(one[1:], other[1:]) + (one[0] != other[0]),
    )


def is_balanced(text: str) -> bool:
    kept = re.sub(r"[^()\[\]{}]", "", text)
    while (shorter := re.sub(r"\(\)|\[\]|{}", "", kept)) != kept:
        kept = shorter
    return not kept


def digit_sum(number: int) -> int:
    return sum(map(int, str(abs(number))))


def factorial(number: int) -> int:
    return reduce(int.__mul__, range(1, number + 1), 1)


def fibonacci(index: int) -> int:
    one, two = 0, 1
    for _ in range(index):
        one, two = two, one + two
    return one


def is_prime(number: int) -> bool:
    return number > 1 and all(number % each for each in range(2, number))


def greatest_divisor(one: int, other: int) -> int:
    return max(d for d in range(1, max(one, other) + 1) if one % d == 0 and other % d == 0)


def least_multiple(one: int, other: int) -> int:
    return next(n for n in range(one, one * other + 1, one) if n % other == 0)


def primes_up_to(limit: int) -> list[int]:
    return [number for number in range(limit + 1) if is_prime(number)]


def prime_factors(number: int) -> list[int]:
    for each in range(2, number + 1):
        if number % each == 0:
            return [each, *prime_factors(number // each)]
    return []


def is_perfect(number: int) -> bool:
    return number > 0 and sum(d for d in range(1, number) if number % d == 0) == number


def collatz_length(number: int) -> int:
    return 0 if number == 1 else 1 + collatz_length(3 * number + 1 if number % 2 else number // 2)


def is_power_of_two(number: int) -> bool:
    return number in {2**exponent for exponent in range(64)}


def reverse_digits(number: int) -> int:
    reversed_number = int(str(abs(number))[::-1])
    return -reversed_number if number < 0 else reversed_number


def average(numbers: list[float]) -> float:
    if not numbers:
        raise ValueError(numbers)
    return sum(numbers) / len(numbers)


def median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers)


def most_common(numbers: list[int]) -> int:
    return min(numbers, key=lambda number: (-numbers.count(number), number))


def running_total(numbers: list[int]) -> list[int]:
    return [sum(numbers[: index + 1]) for index in range(len(numbers))]


def flatten(nested: list[Any]) -> list[Any]:
    result: list[Any] = []
    for each in nested:
        result += flatten(each) if isinstance(each, list) else [each]
    return result


def chunk(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def rotate(items: list[Any], steps: int) -> list[Any]:
    result = list(items)
    for _ in range(steps % len(items) if items else 0):
        result = [result[-1], *result[:-1]]
    return result


def second_largest(numbers: list[int]) -> int | None:
    ordered = sorted(set(numbers))
    return ordered[-2] if len(ordered) > 1 else None


def transpose(matrix: list[list[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*matrix, strict=True)]


def binary_search(numbers: list[int], wanted: int) -> int:
    return numbers.index(wanted) if wanted in numbers else -1


def two_sum(numbers: list[int], target: int) -> list[int]:
    pairs = itertools.combinations(range(len(numbers)), 2)
    return next(([i, j] for i, j in pairs if numbers[i] + numbers[j] == target), [])


def best_slice_sum(numbers: list[int]) -> int:
    indexes = range(len(numbers) + 1)
    return max(sum(numbers[i:j]) for i, j in itertools.combinations(indexes, 2))


def intersection(one: list[int], other: list[int]) -> list[int]:
    return sorted(set(one) & set(other))


def move_zeros(numbers: list[int]) -> list[int]:
    return sorted(numbers, key=lambda number: number == 0)


def is_sorted(numbers: list[int]) -> bool:
    return numbers == sorted(numbers)


def spiral(matrix: list[list[int]]) -> list[int]:
    if not matrix:
        return []
    rest = [list(column) for column in zip(*matrix[1:], strict=True)][::-1]
    return matrix[0] + spiral(rest)


def factorial_digit_sum(number: int) -> int:
    return digit_sum(factorial(number))


def is_reversed_prime(number: int) -> bool:
    return is_prime(reverse_digits(number))


def count_primes(limit: int) -> int:
    return len(primes_up_to(limit))


def longest_word_length(text: str) -> int:
    return len(longest_word(text))


def median_of_running_total(numbers: list[int]) -> float:
    return median(running_total(numbers))


def fibonacci_is_prime(index: int) -> bool:
    return is_prime(fibonacci(index))


def vowels_in_longest_word(text: str) -> int:
    return count_vowels(longest_word(text))


def days_between(one: str, other: str) -> int:
    return abs((date.fromisoformat(other) - date.fromisoformat(one)).days)


def parse_duration(text: str) -> int:
    worth = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * worth[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


def evaluate(expression: str) -> int:
    terms = re.findall(r"([+-]?)((?:\d+\*)*\d+)", expression.replace(" ", ""))
    return sum(
        (-1 if sign == "-" else 1) * reduce(int.__mul__, map(int, product.split("*")))
        for sign, product in terms
    )


def is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdigit() and str(int(part)) == part and int(part) < 256
        for part in parts
    )


def wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def winner(board: list[str]) -> str:
    rows = [*board, *map("".join, zip(*board, strict=True))]
    rows += ["".join(board[i][i] for i in range(3)), "".join(board[i][2 - i] for i in range(3))]
    return next((row[0] for row in rows if row in {"XXX", "OOO"}), "")
