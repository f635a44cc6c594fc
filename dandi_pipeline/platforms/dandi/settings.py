"""What a DANDI source accepts under `settings:`."""

from typing import ClassVar, Literal

from pydantic import Field

from dandi_pipeline.settings import ApiUrl, EnvironmentName, PlatformSettings


class DandiSettings(PlatformSettings):
    """One DANDI archive; every member has a default that suits the public one."""

    SWEEP: ClassVar[str] = "weekly"
    LARGEST_PAGE: ClassVar[int] = 1000

    api_url: ApiUrl | None = Field(default=None, description="The API's address; DANDI_API_URL unless set")
    api_key_env: EnvironmentName = Field(
        default="DANDI_API_KEY", description="The NAME of the environment variable that holds the API key"
    )
    embargoed: bool = Field(default=True, description="Whether embargoed dandisets are mirrored too, given a key")
    versions: Literal["draft", "all"] = Field(
        default="draft", description="Whose assets are mirrored: the drafts', or those of published versions as well"
    )
    manifests: bool = Field(default=True, description="Whether first copies use the archive's public bulk files")
    manifest_url: ApiUrl | None = Field(
        default=None, description="Where those files lie; DANDI_MANIFEST_URL, or the known place, unless set"
    )
    page_size: int = Field(default=1000, ge=1, le=LARGEST_PAGE, description="Assets asked for at a time")
