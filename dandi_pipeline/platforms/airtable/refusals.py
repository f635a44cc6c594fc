"""What Airtable's error answers mean, in each of the four shapes they come in."""

from collections.abc import Callable, Mapping

import orjson

from dandi_pipeline.errors import (
    AccessRefused,
    ContractError,
    CredentialRejected,
    PipelineError,
    QuotaExhausted,
    TornRead,
)
from dandi_pipeline.http.client import ErrorAnswer, Refusal, wrong_address


class IteratorLost(TornRead):
    """The server has forgotten the list whose next page was asked for; it must be begun anew."""


class SchemaMoved(TornRead):
    """A field that the schema had a moment ago does not exist any more."""


class FilterRefused(ContractError):
    """The table takes no filter by the time of modification."""


def error_type(body: bytes) -> str:
    """Return the type of error that a body names, "" if none: a word, an object, or the first of a list."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if isinstance(payload, dict) and isinstance(payload.get("errors"), list) and payload["errors"]:
        payload = payload["errors"][0]
    error = payload.get("error") if isinstance(payload, dict) else None
    named = error.get("type") if isinstance(error, dict) else error
    return named if isinstance(named, str) else ""


def refusals(token_env: str, *, has_token: bool) -> Refusal:
    """Return what decides about error answers; statuses that mean the same everywhere it leaves to the client."""
    remedy = "check the token" if has_token else "it is not set"

    def refusal(answer: ErrorAnswer) -> PipelineError | None:
        if answer.status == 401:
            return CredentialRejected(f"{answer.where}: Airtable takes no token from {token_env}: {remedy}")
        if answer.status in (403, 404) and not error_type(answer.body):
            return wrong_address(answer)
        if answer.status == 403:
            return AccessRefused(
                f"{answer.where}: not for the token in {token_env} (or it does not exist); give it the scopes"
                " data.records:read and schema.bases:read and the base among its resources"
            )
        meaning = _MEANINGS.get(error_type(answer.body))
        return meaning(answer) if meaning and answer.status in (422, 429) else None

    return refusal


def _quota(answer: ErrorAnswer) -> PipelineError:
    return QuotaExhausted(
        f"{answer.where}: the workspace has no API calls left this month; raise its plan, or wait for the next month"
        " (every client of the workspace counts)"
    )


def _iterator_lost(answer: ErrorAnswer) -> PipelineError:
    return IteratorLost(f"{answer.where}: the list expired on the server before its last page was read")


def _schema_moved(answer: ErrorAnswer) -> PipelineError:
    return SchemaMoved(f"{answer.where}: the table's fields changed while it was checked")


def _filter_refused(answer: ErrorAnswer) -> PipelineError:
    return FilterRefused(f"{answer.where}: the table cannot be filtered by when records changed ({answer.excerpt})")


_MEANINGS: Mapping[str, Callable[[ErrorAnswer], PipelineError]] = {
    "PUBLIC_API_BILLING_LIMIT_EXCEEDED": _quota,
    "LIST_RECORDS_ITERATOR_NOT_AVAILABLE": _iterator_lost,
    "INVALID_OFFSET_VALUE": _iterator_lost,
    "UNKNOWN_FIELD_NAME": _schema_moved,
    "INVALID_FILTER_BY_FORMULA": _filter_refused,
}
