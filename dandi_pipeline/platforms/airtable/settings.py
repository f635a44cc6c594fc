"""What an Airtable source accepts under `settings:`."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from dandi_pipeline.settings import ApiUrl, EnvironmentName, Interval, PlatformSettings, Section

_BASE_ID = re.compile(r"app[A-Za-z0-9]{14}", re.ASCII)


def _base_id(text: str) -> str:
    if not _BASE_ID.fullmatch(text):
        raise ValueError("expected a base's id, app… with 17 letters and digits, as the address of its tables shows it")
    return text


PER_BASE, PER_USER = 5, 50
"""Requests a second."""

BaseId = Annotated[str, AfterValidator(_base_id), WithJsonSchema({"type": "string", "pattern": "^app[A-Za-z0-9]{14}$"})]
"""What Airtable calls a base, whatever its users do."""


class BaseSettings(Section):
    """One base, and which of its tables."""

    base: BaseId = Field(description="The base's id, app…, as the address of its tables shows it")
    tables: list[str] | None = Field(
        default=None, description="Ids (tbl…, which outlive renaming) or names; all tables unless set"
    )


class AirtableSettings(PlatformSettings):
    """One account, as far as one personal access token sees it."""

    token_env: EnvironmentName = Field(
        default="AIRTABLE_TOKEN",
        description="The NAME of the environment variable that holds the personal access token"
        " (scopes data.records:read and schema.bases:read, the bases among its resources)",
    )
    bases: list[BaseSettings] = Field(description="The bases that are mirrored, at least one")
    api_url: ApiUrl = Field(default="https://api.airtable.com/v0", description="The API's address")
    overlap: Interval = Field(
        default="10m",
        validate_default=True,
        description="How long an edit may take until every query shows it: what is younger is always asked for again",
    )
    max_concurrent: int = Field(default=5, ge=1, le=50, description="Requests in flight at most, for each base")
    calls_per_month: int | None = Field(
        default=None,
        ge=1,
        description="API calls that the workspace's plan has a month: 1000 (Free), 100000 (Team);"
        " `health` warns in time",
    )

    @property
    def required_credential(self) -> str:
        """The token's variable."""
        return self.token_env

    @property
    def requests_per_second(self) -> float:
        """What all bases together may be asked."""
        return min(PER_BASE * len(self.bases), PER_USER)

    @property
    def requests_per_month(self) -> int | None:
        """What the workspace's plan allows, if it was said."""
        return self.calls_per_month

    @field_validator("bases")
    @classmethod
    def _each_once(cls, bases: list[BaseSettings]) -> list[BaseSettings]:
        if not bases:
            raise ValueError("expected at least one base, each beginning with '- base: app…'")
        if len({base.base for base in bases}) < len(bases):
            raise ValueError("a base is listed twice; list it once, with all its tables")
        return bases
