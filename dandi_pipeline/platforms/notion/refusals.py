"""What Notion's error answers mean, where it is not what such a status usually means."""

from collections.abc import Mapping
from typing import Any

from dandi_pipeline.errors import (
    AccessRefused,
    ContractError,
    CredentialRejected,
    PipelineError,
    PlatformFailing,
    ResourceMissing,
)
from dandi_pipeline.http.client import ErrorAnswer, Refusal, wrong_address

_BLOCKED = "public_api_request_blocked"


class Struggling(PlatformFailing):
    """Notion could not answer just now: the same again may work, and of a query a smaller page may."""


class CursorInvalid(ContractError):
    """A cursor is not (any more) taken: the list must be begun again."""


def refusal_for(token_env: str) -> Refusal:
    """Return the judge of error answers to a connection whose token is in the environment variable `token_env`."""

    def refusal(answer: ErrorAnswer) -> PipelineError | None:
        body = answer.members or {}
        said = f"{answer.where}: {_message(body) or answer.excerpt}"
        if answer.status == 401:
            return CredentialRejected(f"{said}; set {token_env} to the token of a Notion connection")
        if answer.status in (403, 404):
            return _unseen(answer, body, said, token_env)
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


def _unseen(answer: ErrorAnswer, body: Mapping[str, Any], said: str, token_env: str) -> PipelineError:
    """Return why something cannot be seen, as far as Notion says so in its own words."""
    if answer.status == 403 and body:
        return AccessRefused(
            f"{said}; the connection behind {token_env} lacks a capability: let it read content"
            " (*Capabilities* in the connection's settings), which sharing alone does not"
        )
    if answer.status == 404 and body.get("code") == "object_not_found":
        return ResourceMissing(said)
    return wrong_address(answer)


def _message(body: Mapping[str, Any]) -> str:
    """Return what an error says, without the `request_id` beside it, which is another one each time."""
    message = body.get("message")
    return f"{body.get('code')}: {' '.join(message.split())[:300]}" if isinstance(message, str) else ""


def _reason(body: Mapping[str, Any]) -> object:
    additional = body.get("additional_data")
    return additional.get("rate_limit_reason") if isinstance(additional, dict) else None
