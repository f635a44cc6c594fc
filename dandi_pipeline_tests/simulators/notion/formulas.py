"""Evaluates the small part of Notion's formula language that is also Python's: `prop("Estimate") * 2 > 7`.

Numbers, texts, truth values, arithmetic, comparisons and `prop(…)`; the syntax tree is walked, nothing is run.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

LookUp = Callable[[str], Any]

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISON: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}


def evaluate(expression: str, look_up: LookUp) -> dict[str, Any]:
    """Return a formula's value as the API shows it; what cannot be computed is of type "unsupported"."""
    try:
        return _typed(_value(ast.parse(expression, mode="eval").body, look_up))
    except (SyntaxError, TypeError, KeyError, ZeroDivisionError):
        return {"type": "unsupported", "unsupported": {}}


def renamed(expression: str, before: str, after: str) -> str:
    """Return the expression after a property that it may use was given another name."""
    return re.sub(rf'prop\("{re.escape(before)}"\)', lambda match: f'prop("{after}")', expression)


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"type": "boolean", "boolean": value}
    if value is None or isinstance(value, int | float):
        return {"type": "number", "number": value}
    if isinstance(value, str):
        return {"type": "string", "string": value}
    return {"type": "date", "date": value}


def _value(node: ast.expr, look_up: LookUp) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, look_up), _value(node.right, look_up)
        return None if left is None or right is None else _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _COMPARISON[type(node.ops[0])](_value(node.left, look_up), _value(node.comparators[0], look_up))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "prop":
        return look_up(_value(node.args[0], look_up))
    raise KeyError(ast.dump(node))
