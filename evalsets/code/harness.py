"""Runs the hidden cases of a task on a solution and says how many passed.

    python harness.py SOLUTION CASES FUNCTION

A case is a list of arguments and the result, or the name of the exception, as `{"raises": "ValueError"}`.
"""

import json
import sys


def plain(value):
    """A result as JSON has it: tuples are lists."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def same(got, wanted):
    """Equal and of one kind: True is not 1."""
    return got == wanted and isinstance(got, bool) == isinstance(wanted, bool)


def try_case(function, arguments, wanted):
    """What is wrong with one case; empty when nothing is."""
    try:
        got = plain(function(*arguments))
    except Exception as error:
        got = {"raises": type(error).__name__}
    return "" if same(got, wanted) else f"{arguments} -> {got}, not {wanted}"


def main(solution, cases):
    """Run all cases; the exit status is that of pytest."""
    with open(cases, encoding="utf-8") as file:
        task = json.load(file)
    space = {"__name__": "solution"}
    with open(solution, encoding="utf-8") as file:
        exec(compile(file.read(), solution, "exec"), space)
    wrong = [try_case(space.get(task["function"]), *case) for case in task["cases"]]
    failures = [each for each in wrong if each]
    if failures:
        print(failures[0][:70])
    print(f"{len(wrong) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
