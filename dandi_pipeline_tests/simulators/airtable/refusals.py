"""Airtable's error answers: which status goes with which type, in the four shapes of body that are seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from dandi_pipeline_tests.simulators.messages import Reply

SHAPES: Mapping[str, Callable[[str, str], object]] = {
    "word": lambda type, message: {"error": type},
    "typed": lambda type, message: {"error": {"type": type}},
    "worded": lambda type, message: {"error": {"type": type, "message": message}},
    "listed": lambda type, message: {"errors": [{"error": type, "message": message}]},
}

USUAL_TYPES: Mapping[int, str] = {
    400: "BAD_REQUEST",
    401: "AUTHENTICATION_REQUIRED",
    403: "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
    404: "NOT_FOUND",
    413: "REQUEST_TOO_LARGE",
    422: "INVALID_REQUEST_UNKNOWN",
    429: "RATE_LIMIT_REACHED",
    500: "SERVER_ERROR",
    503: "RETRIABLE_ERROR",
}
"""The type of error that a status says when nothing more is to be said."""


@dataclass(eq=False)
class Refusal(Exception):
    """A request that is answered by an error; `shape` is one of `SHAPES`."""

    status: int
    type: str
    message: str = ""
    shape: str = "worded"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reply(self) -> Reply:
        return Reply(self.status, orjson.dumps(SHAPES[self.shape](self.type, self.message)), headers=self.headers)


def unauthenticated() -> Refusal:
    return Refusal(401, "AUTHENTICATION_REQUIRED", "Authentication required")


def lacking_scope() -> Refusal:
    return Refusal(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation")


def hidden() -> Refusal:
    """What every base and table is to whoever may not see it, or that does not exist."""
    return Refusal(
        403,
        "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
        "Invalid permissions, or the requested model was not found. Check that both your user and your token have "
        "the required permissions, and that the model names and/or ids are correct.",
    )


def invalid(message: str) -> Refusal:
    return Refusal(422, "INVALID_REQUEST_UNKNOWN", f"Invalid request: {message}")


def unknown_field(key: str) -> Refusal:
    return Refusal(422, "UNKNOWN_FIELD_NAME", f'Unknown field name: "{key}"')


def invalid_formula(reason: str) -> Refusal:
    return Refusal(422, "INVALID_FILTER_BY_FORMULA", f"The formula for filtering records is invalid: {reason}")


def invalid_offset() -> Refusal:
    return Refusal(422, "INVALID_OFFSET_VALUE", "The value of offset does not continue this list")


def iterator_gone() -> Refusal:
    return Refusal(422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE", shape="typed")
