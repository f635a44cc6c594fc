"""Errors as the API spells them."""

from collections.abc import Mapping
from typing import Any

CODES: Mapping[int, str] = {
    400: "validation_error",
    401: "unauthorized",
    403: "restricted_resource",
    404: "object_not_found",
    409: "conflict_error",
    429: "rate_limited",
    500: "internal_server_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
    529: "service_overload",
}
"""The usual code of each status."""

QUERY_GUIDANCE: dict[str, Any] = {
    "endpoint_name": "public_queryDataSource",
    "notion_error_name": "PgPoolWaitConnectionTimeout",
    "retry_guidance": ["Use exponential backoff with jitter", "Reduce page_size", "Narrow query filters/sorts"],
}
"""What a 503 to a query says besides."""


class ApiError(Exception):
    """A request that is answered by an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        additional: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        twin = {} if retry_after is None else {"retry_after": str(retry_after)}
        self.additional = {**(additional or {}), **twin}
        self.code = code or CODES[status]

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def body(self, request_id: str) -> dict[str, Any]:
        said = {
            "object": "error",
            "status": self.status,
            "code": self.code,
            "message": str(self),
            "request_id": request_id,
        }
        return said | ({"additional_data": self.additional} if self.additional else {})


def invalid(message: str, **additional: Any) -> ApiError:
    """A request whose body, query or path is not as it should be."""
    return ApiError(400, message, additional=additional)


def not_found(noun: str, identifier: str) -> ApiError:
    """What is missing, or not shared: nobody can tell which."""
    return ApiError(
        404,
        f"Could not find {noun} with ID: {identifier}. "
        "Make sure the relevant pages and databases are shared with your integration.",
    )
