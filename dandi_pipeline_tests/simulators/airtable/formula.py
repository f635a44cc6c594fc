"""Evaluates filter formulas on records. Comparisons are strict, and a formula that fails on a record excludes it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from .formula_syntax import Call, Comparison, FieldReference, InvalidFormula, Literal, Node, nodes, parsed
from .instants import understood

Value = float | str | bool | datetime | None
"""What formulas reckon with; None is blank."""


class FormulaError(ValueError):
    """The formula comes to #ERROR! on this record."""


class Subject(Protocol):
    """A record as formulas see it. Fields are named by their ids."""

    @property
    def record_id(self) -> str: ...

    @property
    def created(self) -> datetime: ...

    def modified(self, field_ids: Sequence[str]) -> datetime | None:
        """When a user last edited any of these fields (none given: any field); None for blank."""
        ...

    def value(self, field_id: str) -> Value:
        """The field's value; `FormulaError` if that is an error itself."""
        ...


class Formula:
    """A formula whose fields are known: `field_id` returns the id of a field by its id or name, or None."""

    def __init__(self, text: str, field_id: Callable[[str], str | None]) -> None:
        self._tree = parsed(text)
        self._field_ids: dict[str, str] = {}
        for node in nodes(self._tree):
            if isinstance(node, FieldReference):
                found = field_id(node.key)
                if found is None:
                    raise InvalidFormula(f"Unknown field names: {node.key.lower()}")
                self._field_ids[node.key] = found

    @property
    def asks_when_modified(self) -> bool:
        """Whether LAST_MODIFIED_TIME() occurs in it."""
        return any(isinstance(node, Call) and node.function == "LAST_MODIFIED_TIME" for node in nodes(self._tree))

    def holds(self, subject: Subject) -> bool:
        """Whether the record fulfils the formula."""
        try:
            return bool(self._evaluate(self._tree, subject))
        except FormulaError:
            return False

    def _evaluate(self, node: Node, subject: Subject) -> Value:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, FieldReference):
            return subject.value(self._field_ids[node.key])
        if isinstance(node, Comparison):
            return _compare(node.sign, self._evaluate(node.left, subject), self._evaluate(node.right, subject))
        if node.function in _ABOUT_RECORD:
            fields = [self._field_ids[a.key] for a in node.arguments if isinstance(a, FieldReference)]
            return _ABOUT_RECORD[node.function](subject, fields)
        return _FUNCTIONS[node.function](*[self._evaluate(argument, subject) for argument in node.arguments])


def _compare(sign: str, left: Value, right: Value) -> bool:
    if sign == "=":
        return _equal(left, right)
    if sign == "!=":
        return not _equal(left, right)
    if isinstance(left, datetime) and isinstance(right, datetime):
        return _ORDERS[sign](left, right)
    return _ORDERS[sign](_number(left), _number(right))


def _equal(left: Value, right: Value) -> bool:
    """Blank equals the empty text and zero; otherwise values of different kinds are never equal."""
    if left is None or right is None:
        return not left and not right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    return type(left) is type(right) and left == right


def _number(value: Value) -> float:
    if value is None:
        return 0.0
    if isinstance(value, int | float):
        return float(value)
    raise FormulaError(f"{value!r} is not a number")


def _instant(value: Value) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise FormulaError(f"{value!r} is not a date")
    try:
        return understood(value)
    except ValueError as error:
        raise FormulaError(str(error)) from None


def _is_after(left: Value, right: Value) -> bool:
    first, second = _instant(left), _instant(right)
    return first is not None and second is not None and first > second


def _is_same(left: Value, right: Value, unit: Value = "millisecond") -> bool:
    first, second = _instant(left), _instant(right)
    if str(unit).rstrip("s") not in _UNIT_LENGTHS:
        raise FormulaError(f"{unit!r} is not a unit of time")
    length = _UNIT_LENGTHS[str(unit).rstrip("s")]
    return None not in (first, second) and str(first)[:length] == str(second)[:length]


_UNIT_LENGTHS = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16, "second": 19, "millisecond": 23}
"""How much of `2026-11-20 10:14:07.000…` two instants share that are the same in a unit."""

_ORDERS: Mapping[str, Callable[[float | datetime, float | datetime], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_ABOUT_RECORD: Mapping[str, Callable[[Subject, Sequence[str]], Value]] = {
    "RECORD_ID": lambda subject, fields: subject.record_id,
    "CREATED_TIME": lambda subject, fields: subject.created,
    "LAST_MODIFIED_TIME": lambda subject, fields: subject.modified(fields),
}

_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "AND": lambda *values: all(values),
    "OR": lambda *values: any(values),
    "NOT": lambda value: not value,
    "TRUE": lambda: True,
    "FALSE": lambda: False,
    "BLANK": lambda: None,
    "IS_AFTER": _is_after,
    "IS_BEFORE": lambda left, right: _is_after(right, left),
    "IS_SAME": _is_same,
    "DATETIME_PARSE": _instant,
}
