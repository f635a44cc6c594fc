"""Reads a YAML file, remembers where everything stood, and words what is wrong with it in one line.

Values are not quoted: one may be a secret.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dandi_pipeline.errors import ConfigurationError

Location = tuple[str | int, ...]
"""Where something is: keys and list positions from the top, e.g. ("sources", 0, "alias")."""


class Document:
    """A YAML file's data, and the line of each of its parts."""

    def __init__(self, text: str, name: str) -> None:
        """Parse `text`; raise `ConfigurationError`, in one line, for what is no plain YAML."""
        self._name = name
        self._lines: dict[Location, int] = {(): 1}
        root = self._composed(text)
        self.data: Any = None if root is None else self._data(root, ())

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Return the document in a file; raise `ConfigurationError` if it cannot be read."""
        try:
            return cls(path.read_text("utf-8"), str(path))
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path}: is not text in UTF-8") from None

    def line(self, location: Sequence[str | int]) -> int:
        """Return the line of a part, or of the innermost thing around it that exists."""
        known = tuple(location)
        while known not in self._lines:
            known = known[:-1]
        return self._lines[known]

    def error(self, location: Sequence[str | int], message: str) -> ConfigurationError:
        """Return an error that names the file and the line of a part."""
        return self._error(self.line(location), message)

    def _error(self, line: int, message: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name}:{line}: {message}")

    def _composed(self, text: str) -> yaml.Node | None:
        loader = None
        try:
            loader = _Loader(text)
            node: yaml.Node | None = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = ", ".join(part for part in (error.context, error.problem) if part)
            raise self._error(mark.line + 1 if mark else 1, f"not valid YAML: {problem}") from None
        except yaml.YAMLError:
            raise self._error(1, "not valid YAML: it holds characters that YAML does not allow") from None
        finally:
            if loader is not None:
                loader.dispose()
        return node

    def _data(self, node: yaml.Node, location: Location) -> Any:
        self._lines.setdefault(location, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self._data(item, (*location, position)) for position, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(_line(key_node), "a key must be plain text")
            key, place = key_node.value, (*location, key_node.value)
            if key in data:
                raise self._error(_line(key_node), f"{key!r} is already set in line {self._lines[place]}")
            self._lines[place] = _line(key_node)
            data[key] = self._data(value_node, place)
        return data

    def _scalar(self, node: yaml.Node) -> Any:
        constructor = yaml.constructor.SafeConstructor()
        try:
            return constructor.construct_object(node)
        except (yaml.YAMLError, ValueError):
            raise self._error(_line(node), "not a plain value; put it in quotes") from None


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse aliases: a file this small needs none, and they can make endless structures."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "anchors and aliases (&, *) are not supported", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


_MESSAGES = {
    "string_type": "expected text (put a number, date or yes/no in quotes)",
    "bool_type": "expected true or false",
    "list_type": "expected a list, each of its entries beginning with '- '",
    "model_type": "expected keys and values, indented below it",
    "dict_type": "expected keys and values, indented below it",
    "string_pattern_mismatch": "expected lower-case letters, digits, '_' and '-' only, at most 63",
}

_NUMBERS = ("int_type", "greater_than_equal", "less_than_equal")


def worded(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what one of pydantic's complaints about a `model` means to the file's author."""
    *parents, key = error["loc"]
    fields = _fields(model, parents)
    if error["type"] == "extra_forbidden":
        return unknown("key", str(key), fields)
    if error["type"] == "missing":
        return f"no {key!r}, which must be set; expected: {_plain(fields[str(key)].description or '')}"
    place = f"{parents[-1]!r}, no. {key + 1}" if isinstance(key, int) else repr(key)
    if error["type"] == "literal_error":
        return f"{place}: expected {error['ctx']['expected']}{_meant(str(error['input']), _choices(error))}"
    if error["type"] in _NUMBERS:
        return f"{place}: expected a whole number{_range(fields[str(key)])}"
    return f"{place}: {_MESSAGES.get(error['type']) or _plain(error['msg'])}"


def unknown(noun: str, given: str, accepted: Iterable[str]) -> str:
    """Return that a word is unknown, which one was probably meant, and which there are."""
    names = sorted(accepted)
    return f"unknown {noun} {given[:40]!r}{_meant(given, names)}; accepted: {', '.join(names)}"


def _meant(given: str, accepted: Iterable[str]) -> str:
    close = get_close_matches(given.lower(), list(accepted), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _choices(error: ErrorDetails) -> list[str]:
    expected: str = error["ctx"]["expected"]
    return expected.replace(" or ", ", ").replace("'", "").split(", ")


def _fields(model: type[BaseModel], parents: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    """Return the fields of the part of a `model` that lies below its `parents`; none where that is no model."""
    for parent in parents:
        if isinstance(parent, int):
            continue  # an entry of a list, whose annotation has been looked into
        annotation = model.model_fields[parent].annotation
        (inner,) = get_args(annotation) if get_origin(annotation) is list else (annotation,)
        if not isinstance(inner, type) or not issubclass(inner, BaseModel):
            return {}
        model = inner
    return model.model_fields


def _range(field: FieldInfo) -> str:
    """Return the bounds of a number in words."""
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    if "le" in bounds:
        return f" from {bounds['ge']} to {bounds['le']}"
    return f" from {bounds['ge']} up"


def _plain(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
