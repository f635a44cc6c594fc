"""What every oracle is strict about: each column is known to it, and 1 is not true."""

from collections.abc import Collection, Iterable
from typing import Any


def require_columns(table: str, shown: Iterable[str], told: Collection[str]) -> None:
    """Raise if a table has other columns than the oracle was told of: what it does not know it does not compare."""
    unknown, missing = sorted(set(shown) - set(told)), sorted(set(told) - set(shown))
    if unknown or missing:
        raise AssertionError(f"{table} has the columns {unknown} that no oracle knows, and lacks {missing}")


def same(left: Any, right: Any) -> bool:
    """Tell whether two JSON values are the same, their types included: `1 == True` is a difference.

    An integer and the float of its value are the same number, which a database may spell either way.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
