"""Reads the part of Airtable's formula language that filters are written in; nothing outside it is accepted."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ANY = sys.maxsize
ARITIES: Mapping[str, tuple[int, int]] = {
    "AND": (1, ANY),
    "OR": (1, ANY),
    "NOT": (1, 1),
    "TRUE": (0, 0),
    "FALSE": (0, 0),
    "BLANK": (0, 0),
    "RECORD_ID": (0, 0),
    "CREATED_TIME": (0, 0),
    "LAST_MODIFIED_TIME": (0, ANY),
    "IS_AFTER": (2, 2),
    "IS_BEFORE": (2, 2),
    "IS_SAME": (2, 3),
    "DATETIME_PARSE": (1, 1),
}
"""The functions known, with the fewest and the most arguments they take."""

COMPARISONS = ("=", "!=", "<=", ">=", "<", ">")

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<field>\{(?:[^{}\\]|\\.)+\})
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>!=|<=|>=|[=<>(),])
    )\s*""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


class InvalidFormula(ValueError):
    """The text is no formula that can be evaluated on any record."""


@dataclass(frozen=True)
class Literal:
    """A number or a text."""

    value: float | str


@dataclass(frozen=True)
class FieldReference:
    """A field, by the id or name in braces."""

    key: str


@dataclass(frozen=True)
class Call:
    """A function applied to arguments; its name in capitals."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True)
class Comparison:
    """Two values and the sign between them."""

    sign: str
    left: "Node"
    right: "Node"


Node = Literal | FieldReference | Call | Comparison


def parsed(formula: str) -> Node:
    """Return the tree of a formula; `InvalidFormula` says what is wrong with it."""
    tokens = _Tokens(formula)
    node = _expression(tokens)
    if tokens.kind:
        raise InvalidFormula(f"unexpected {tokens.text!r}")
    return node


def nodes(node: Node) -> Iterator[Node]:
    """Yield a node and everything below it."""
    yield node
    below: tuple[Node, ...] = ()
    if isinstance(node, Call):
        below = node.arguments
    elif isinstance(node, Comparison):
        below = (node.left, node.right)
    for child in below:
        yield from nodes(child)


class _Tokens:
    """A formula's tokens, one at a time; `kind` is empty at the end."""

    def __init__(self, formula: str) -> None:
        self._formula = formula
        self._position = 0
        self.advance()

    def advance(self) -> str:
        """Step to the next token and return the text of the last one."""
        last = getattr(self, "text", "")
        self.kind, self.text = "", ""
        if self._formula[self._position :].strip():
            match = _TOKEN.match(self._formula, self._position)
            if match is None:
                raise InvalidFormula(f"cannot be read from character {self._position + 1} on")
            self._position = match.end()
            self.kind = str(match.lastgroup)
            self.text = match[self.kind]
        return last

    def expect(self, sign: str) -> None:
        if self.text != sign or self.kind != "sign":
            raise InvalidFormula(f"{sign!r} is missing before {self.text or 'the end'!r}")
        self.advance()


def _expression(tokens: _Tokens) -> Node:
    left = _operand(tokens)
    while tokens.kind == "sign" and tokens.text in COMPARISONS:
        sign = tokens.advance()
        left = Comparison(sign, left, _operand(tokens))
    return left


def _operand(tokens: _Tokens) -> Node:
    kind, text = tokens.kind, tokens.advance()
    if kind == "text":
        return Literal(_unescaped(text[1:-1]))
    if kind == "number":
        return Literal(float(text))
    if kind == "field":
        return FieldReference(_unescaped(text[1:-1]))
    if kind == "word":
        return _call(text.upper(), tokens) if tokens.text == "(" else FieldReference(text)
    if kind == "sign" and text == "(":
        inner = _expression(tokens)
        tokens.expect(")")
        return inner
    raise InvalidFormula(f"unexpected {text or 'end'!r}")


def _call(function: str, tokens: _Tokens) -> Call:
    if function not in ARITIES:
        raise InvalidFormula(f"unknown function {function}")
    tokens.expect("(")
    arguments: list[Node] = []
    while not (tokens.kind == "sign" and tokens.text == ")"):
        if arguments:
            tokens.expect(",")
        arguments.append(_expression(tokens))
    tokens.expect(")")
    fewest, most = ARITIES[function]
    if not fewest <= len(arguments) <= most:
        raise InvalidFormula(f"{function} does not take {len(arguments)} arguments")
    if function == "LAST_MODIFIED_TIME" and not all(isinstance(a, FieldReference) for a in arguments):
        raise InvalidFormula("LAST_MODIFIED_TIME takes fields only")
    return Call(function, tuple(arguments))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: _CONTROLS.get(match[1], match[1]), text)
