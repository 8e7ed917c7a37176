"""A small SQLite database of orders, and six tools over it that sometimes fail."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from typing import Any

import evalkit

SCHEMA = """
CREATE TABLE orders (
    id TEXT PRIMARY KEY, email TEXT, item TEXT, total REAL, status TEXT, city TEXT, days INTEGER
);
CREATE TABLE refunds (order_id TEXT PRIMARY KEY, amount REAL);
CREATE TABLE handovers (order_id TEXT, reason TEXT);
"""

# `days` counts from delivery; None if the order has not been delivered.
ORDERS = [
    ("A11", "anna@example.org", "rain jacket", 49.90, "open", "Leeds", None),
    ("A12", "anna@example.org", "tent", 120.00, "shipped", "Leeds", None),
    ("B21", "bo@example.org", "boots", 89.00, "delivered", "York", 10),
    ("B22", "bo@example.org", "sleeping bag", 240.00, "delivered", "York", 5),
    ("C31", "cem@example.org", "head torch", 35.50, "delivered", "Hull", 45),
    ("D41", "dee@example.org", "rucksack", 310.00, "open", "Bath", None),
    ("E51", "eli@example.org", "gloves", 20.00, "cancelled", "Ely", None),
    ("F61", "fay@example.org", "flask", 19.90, "delivered", "Fife", 29),
    ("F62", "fay@example.org", "stove", 75.00, "open", "Fife", None),
    ("G71", "gus@example.org", "poles", 60.00, "shipped", "Gosport", None),
    ("H81", "hal@example.org", "climbing rope", 200.00, "delivered", "Hythe", 30),
    ("J91", "jo@example.org", "socks", 15.00, "delivered", "Jarrow", 31),
    ("K10", "kim@example.org", "map", 12.50, "open", "Kent", None),
    ("L20", "lou@example.org", "hat", 99.99, "delivered", "Luton", 3),
]
REFUNDED = [("L20", 99.99)]

# How often a tool times out; the payment provider is the slowest.
FAILS = {
    "find_orders": 0.04,
    "get_order": 0.04,
    "cancel_order": 0.06,
    "refund_order": 0.18,
    "change_address": 0.06,
    "hand_over": 0.0,
}


class ToolFailed(Exception):
    """A tool failed."""


class Timeout(ToolFailed):
    """A tool timed out; another call may succeed."""


class Desk:
    """The tools over a new database, with a list of all calls. `seed` decides which calls fail."""

    def __init__(self, seed: object) -> None:
        self.calls: list[dict[str, Any]] = []
        self._seed = seed
        self._database = sqlite3.connect(":memory:")
        self._database.row_factory = sqlite3.Row
        self._database.executescript(SCHEMA)
        self._database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", ORDERS)
        self._database.executemany("INSERT INTO refunds VALUES (?, ?)", REFUNDED)

    def close(self) -> None:
        """Close the database. Python 3.13 warns of one that is left to the garbage collector."""
        self._database.close()

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool by name and record the result."""
        work: Callable[..., Any] = getattr(self, f"_{tool}")
        kept: dict[str, Any] = {"name": tool, "arguments": arguments}
        self.calls.append(kept)
        try:
            # This records a step with its duration in the trace of the trial, which evalkit shows.
            with evalkit.span("tool", tool, arguments=arguments) as step:
                if self._is_down(tool):
                    raise Timeout("Timeout")
                result = work(**arguments)
                step.set(result=result)
                return result
        except ToolFailed as failed:
            kept["error"] = str(failed)
            raise

    def _is_down(self, tool: str) -> bool:
        draw = random.Random(f"{self._seed} {len(self.calls)} {tool}").random()
        return self._seed is not None and draw < FAILS[tool]

    def _rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self._database.execute(statement, values)]

    def _find_orders(self, email: str) -> list[str]:
        return [row["id"] for row in self._rows("SELECT id FROM orders WHERE email = ?", email)]

    def _get_order(self, order: str) -> dict[str, Any] | None:
        rows = self._rows("SELECT * FROM orders WHERE id = ?", order)
        paid_back = self._rows("SELECT amount FROM refunds WHERE order_id = ?", order)
        return {**rows[0], "refunded": bool(paid_back)} if rows else None

    def _cancel_order(self, order: str) -> None:
        changed = self._database.execute(
            "UPDATE orders SET status = 'cancelled' WHERE id = ? AND status = 'open'", (order,)
        )
        if not changed.rowcount:
            raise ToolFailed("NotOpen")

    def _refund_order(self, order: str) -> None:
        try:
            paid = self._database.execute(
                "INSERT INTO refunds SELECT id, total FROM orders WHERE id = ?", (order,)
            )
        except sqlite3.IntegrityError:
            raise ToolFailed("AlreadyRefunded") from None
        if not paid.rowcount:
            raise ToolFailed("UnknownOrder")

    def _change_address(self, order: str, city: str) -> None:
        changed = self._database.execute(
            "UPDATE orders SET city = ? WHERE id = ? AND status = 'open'", (city, order)
        )
        if not changed.rowcount:
            raise ToolFailed("NotOpen")

    def _hand_over(self, reason: str, order: str = "") -> None:
        self._database.execute("INSERT INTO handovers VALUES (?, ?)", (order, reason))

    def changes(self) -> dict[str, Any]:
        """Return the differences from the initial state, and their number."""
        before = {order[0]: order for order in ORDERS}
        orders: dict[str, dict[str, Any]] = {}
        for row in self._rows("SELECT id, status, city FROM orders"):
            was = before[row["id"]]
            changed = {
                name: row[name]
                for name, old in (("status", was[4]), ("city", was[5]))
                if row[name] != old
            }
            if changed:
                orders[row["id"]] = changed
        paid = {row["order_id"]: row["amount"] for row in self._rows("SELECT * FROM refunds")}
        refunds = {
            order: amount for order, amount in paid.items() if (order, amount) not in REFUNDED
        }
        handed = [row["order_id"] for row in self._rows("SELECT order_id FROM handovers")]
        count = sum(map(len, orders.values())) + len(refunds) + len(handed)
        told = {"orders": orders, "refunds": refunds, "handed_over": handed}
        return {"changed": count, **{name: value for name, value in told.items() if value}}
