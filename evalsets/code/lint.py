"""A linter of four rules: no bare except, no default that changes, no unused name, no `== None`.

python lint.py FILE...
"""

import ast
import sys


def findings(tree):
    """Every breach of a rule in a module, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except"
        if isinstance(node, ast.Compare) and any(
            isinstance(each, ast.Constant)
            and each.value is None
            and isinstance(op, (ast.Eq, ast.NotEq))
            for op, each in zip(node.ops, node.comparators)
        ):
            yield node.lineno, "compare with None by `is`"
        if isinstance(node, ast.FunctionDef):
            yield from in_function(node)


def in_function(function):
    """Defaults that change, and names that are bound and never read."""
    for default in function.args.defaults:
        if isinstance(default, (ast.List, ast.Dict, ast.Set)):
            yield function.lineno, "default that changes"
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    for node in names:
        if isinstance(node.ctx, ast.Store) and node.id not in read and not node.id.startswith("_"):
            yield node.lineno, f"{node.id} is never used"


def main(names):
    """Print what is found; the exit status is 1 if that is anything."""
    found = False
    for name in names:
        with open(name, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for line, said in findings(tree):
            print(f"{name}:{line}: {said}")
            found = True
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
