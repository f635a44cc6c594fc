"""What Notion's error answers mean, where it is not what such a status usually means."""

from collections.abc import Mapping
from typing import Any

from dandi_pipeline.errors import AccessRefused, ContractError, CredentialRejected, PipelineError, PlatformFailing
from dandi_pipeline.http.client import ErrorAnswer, Refusal, wrong_address

_BLOCKED = "public_api_request_blocked"


class Struggling(PlatformFailing):
    """Notion could not answer just now: the same again may work, and of a query a smaller page may."""


class CursorInvalid(ContractError):
    """A cursor is not (any more) taken: the list must be begun again."""


def refusal_for(token_env: str) -> Refusal:
    """Return the judge of error answers to a connection whose token is in the environment variable `token_env`."""

    def refusal(answer: ErrorAnswer) -> PipelineError | None:
        said, body = f"{answer.where}: {answer.excerpt}", answer.members or {}
        if answer.status == 401:
            return CredentialRejected(f"{said}; set {token_env} to the token of a Notion connection")
        if not _is_notions(answer.status, body):
            return wrong_address(answer)
        if answer.status == 403:
            return AccessRefused(f"{said}; give the connection behind {token_env} the capability to read content")
        if answer.status == 429 and _reason(body) == _BLOCKED:
            return CredentialRejected(
                f"{said}; Notion blocks the connection behind {token_env}, and asking again makes it worse:"
                " find out why from Notion's support before the next sync"
            )
        if answer.status == 400 and "start_cursor" in str(body.get("message")):
            return CursorInvalid(said)
        if answer.status == 409 or (answer.status in (503, 504) and "/query" in answer.where):
            return Struggling(f"{said}; try again later")
        return None

    return refusal


def _is_notions(status: int, body: Mapping[str, Any]) -> bool:
    """Tell whether a refusal that hides something is in Notion's own words."""
    return bool(body) if status == 403 else status != 404 or body.get("code") == "object_not_found"


def _reason(body: Mapping[str, Any]) -> object:
    additional = body.get("additional_data")
    return additional.get("rate_limit_reason") if isinstance(additional, dict) else None
