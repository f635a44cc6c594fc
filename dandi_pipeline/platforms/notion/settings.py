"""What a Notion source accepts under `settings:`, and how Notion's ids are spelled."""

import re
import uuid
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from dandi_pipeline.settings import ApiUrl, EnvironmentName, Interval, PlatformSettings

_BARE = re.compile(r"[0-9a-f]{32}", re.ASCII)


def dashed(text: str) -> str:
    """Return an id as the API spells it; raise ValueError for what is none."""
    bare = text.strip().lower().replace("-", "")
    if not _BARE.fullmatch(bare):
        raise ValueError("not a Notion id; expected the 32 letters and digits of its address, with or without dashes")
    return str(uuid.UUID(bare))


SHORTEST_OVERLAP, LONGEST_OVERLAP = timedelta(minutes=2), timedelta(hours=1)
"""A minute is lost to rounding, so less than two leave nothing for a late index; more than an hour is a sweep."""


def _overlap(value: timedelta) -> timedelta:
    if not SHORTEST_OVERLAP <= value <= LONGEST_OVERLAP:
        raise ValueError("expected between 2m and 60m")
    return value


def _dashed_each(identifiers: list[str]) -> list[str]:
    for position, identifier in enumerate(identifiers, start=1):
        try:
            dashed(identifier)
        except ValueError as error:
            raise ValueError(f"no. {position} is {error}") from None
    return [dashed(identifier) for identifier in identifiers]


NotionIds = Annotated[
    list[str],
    AfterValidator(_dashed_each),
    WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": "^[0-9A-Fa-f-]{32,36}$"}}),
]
"""Ids of databases or data sources, with or without dashes."""


class NotionSettings(PlatformSettings):
    """One Notion connection and what of its workspace is mirrored: whole databases, single data sources, or both."""

    token_env: EnvironmentName = Field(
        default="NOTION_TOKEN", description="The NAME of the environment variable that holds the connection's token"
    )
    databases: NotionIds = Field(default=[], description="Databases by id; all of their data sources are mirrored")
    data_sources: NotionIds = Field(default=[], description="Single data sources by id")
    api_url: ApiUrl = Field(default="https://api.notion.com/v1", description="The API's address")
    overlap: Annotated[Interval, AfterValidator(_overlap)] = Field(
        default="3m",
        validate_default=True,
        description="How far each reading goes back behind the last: 2m to 60m; Notion's times are whole minutes",
    )
    requests_per_minute: int = Field(
        default=180, ge=1, le=600, description="The connection's rate limit: 180, or 600 on Business and Enterprise"
    )

    @property
    def required_credential(self) -> str:
        """The token's variable."""
        return self.token_env

    @property
    def requests_per_second(self) -> float:
        """What the connection may send, evened out over the minute."""
        return self.requests_per_minute / 60
