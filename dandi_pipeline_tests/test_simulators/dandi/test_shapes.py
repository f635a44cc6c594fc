"""The simulated archive's answers have the shapes and spellings of the real one's, on made-up data.

What is written here was seen in answers of the real server.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from dandi_pipeline_tests.simulators.dandi import (
    OWNER_TOKEN,
    STRANGER_TOKEN,
    SUPERUSER_TOKEN,
    SimulatedArchive,
    generated_world,
)
from dandi_pipeline_tests.test_simulators.asking import ask, results

PUBLISHED, EMBARGOED = "000004", "000012"
DRAFT = f"/api/dandisets/{PUBLISHED}/versions/draft/"

DANDISET = ["identifier", "created", "modified", "contact_person", "embargo_status", "star_count", "is_starred"]
SHORT_VERSION = ["version", "name", "asset_count", "size", "status", "created", "modified"]
VERSION = ["version", "name", "asset_count", "active_uploads", "size", "status", "created", "modified"]
ASSET = ["asset_id", "blob", "zarr", "path", "size", "created", "modified"]
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")

NO_TOKEN = {"detail": "Authentication credentials were not provided."}
NOT_ALLOWED = {"detail": "You do not have permission to perform this action."}
NOT_FOUND = {"detail": "Not found."}


@pytest.fixture(scope="module")
def archive() -> Iterator[SimulatedArchive]:
    with SimulatedArchive(generated_world(dandisets=12, assets=20, large=1030)) as archive:
        yield archive


def test_a_listing_row_carries_short_rows_of_the_draft_and_the_newest_version(archive: SimulatedArchive) -> None:
    rows = {row["identifier"]: row for row in results(archive, "/api/dandisets/?page_size=5")}
    assert len(rows) == 11
    row = rows[PUBLISHED]
    assert list(row) == [*DANDISET, "most_recent_published_version", "draft_version"]
    assert list(row["draft_version"]) == list(row["most_recent_published_version"]) == SHORT_VERSION
    assert rows["000001"]["most_recent_published_version"] is None
    assert all(INSTANT.fullmatch(row["draft_version"]["modified"]) for row in rows.values())


def test_a_dandiset_in_detail_shows_more_of_its_versions(archive: SimulatedArchive) -> None:
    row = ask(archive, f"/api/dandisets/{PUBLISHED}/").json
    assert list(row) == [*DANDISET, "most_recent_published_version", "draft_version"]
    assert list(row["draft_version"]) == [*VERSION, "release_notes"]


def test_versions_are_listed_draft_first_then_as_they_were_created(archive: SimulatedArchive) -> None:
    rows = results(archive, f"/api/dandisets/{PUBLISHED}/versions/")
    assert list(rows[0]) == [*VERSION, "dandiset", "release_notes"]
    assert list(rows[0]["dandiset"]) == DANDISET
    assert rows[0]["version"] == "draft"
    assert [row["created"] for row in rows] == sorted(row["created"] for row in rows)


def test_version_info_is_the_row_with_the_metadata_that_the_version_itself_answers(
    archive: SimulatedArchive,
) -> None:
    info = ask(archive, f"{DRAFT}info/").json
    extra = ["asset_validation_errors", "version_validation_errors", "metadata", "contact_person"]
    assert list(info) == [*VERSION, "dandiset", "release_notes", *extra]
    assert info["metadata"] == ask(archive, DRAFT).json
    assert info["metadata"]["id"] == f"DANDI:{PUBLISHED}/draft"


def test_asset_rows_have_metadata_only_when_asked(archive: SimulatedArchive) -> None:
    bare = results(archive, f"{DRAFT}assets/?order=path")
    full = results(archive, f"{DRAFT}assets/?order=path&metadata=true")
    assert list(bare[0]) == ASSET
    assert bare == [{key: row[key] for key in ASSET} for row in full]
    for row in full:
        assert row["metadata"]["identifier"] == row["asset_id"]
        assert row["metadata"]["path"] == row["path"]
        assert row["metadata"]["contentSize"] == row["size"]
    identifier = full[0]["asset_id"]
    assert ask(archive, f"/api/assets/{identifier}/").json == full[0]["metadata"]
    assert ask(archive, f"/api/assets/{identifier}/info/").json == full[0]
    assert ask(archive, f"{DRAFT}assets/{identifier}/").json == full[0]["metadata"]


def test_asset_pages_count_on_the_first_page_only_and_end_empty(archive: SimulatedArchive) -> None:
    assets = "/api/dandisets/000001/versions/draft/assets/"
    address = f"http://archive.example{assets}"
    pages = [
        ask(archive, f"{assets}?page_size=1000&order=path&page={page}", Host="archive.example").json
        for page in (1, 2, 9)
    ]
    assert [page["count"] for page in pages] == [1030, None, None]
    assert [len(page["results"]) for page in pages] == [1000, 30, 0]
    assert [page["next"] for page in pages] == [f"{address}?order=path&page=2&page_size=1000", None, None]
    assert [page["previous"] for page in pages] == [
        None,
        f"{address}?order=path&page_size=1000",
        f"{address}?order=path&page=8&page_size=1000",
    ]


def test_dandiset_pages_count_always_and_end_with_404(archive: SimulatedArchive) -> None:
    assert ask(archive, "/api/dandisets/?page=2&page_size=6").json["count"] == 11
    beyond = ask(archive, "/api/dandisets/?page=3&page_size=6")
    assert (beyond.status, beyond.json) == (404, {"detail": "Invalid page."})


@pytest.mark.parametrize(("asked", "rows"), [("9999", 1000), ("0", 100), ("-3", 100), ("many", 100), ("7", 7)])
def test_page_sizes_are_capped_and_nonsense_means_the_default(archive: SimulatedArchive, asked: str, rows: int) -> None:
    page = ask(archive, f"/api/dandisets/000001/versions/draft/assets/?page_size={asked}").json
    assert len(page["results"]) == rows


@pytest.mark.parametrize("order", ["path", "-path", "created", "-modified", "modified,path"])
def test_assets_come_in_the_order_asked(archive: SimulatedArchive, order: str) -> None:
    rows = results(archive, f"{DRAFT}assets/?order={order}&page_size=7")
    keys = [tuple(row[name.strip("-")] for name in order.split(",")) for row in rows]
    assert keys == sorted(keys, reverse=order.startswith("-"))
    assert len(keys) > 7


def test_asset_filters_are_prefix_glob_and_zarr(archive: SimulatedArchive) -> None:
    assets = "/api/dandisets/000003/versions/draft/assets/"
    everything = results(archive, assets)
    some = everything[0]["path"]
    assert [row["path"] for row in results(archive, f"{assets}?path={quote(some)}")] == [some]
    assert len(results(archive, f"{assets}?path=SUB-")) == len(everything)
    assert [row["zarr"] is not None for row in results(archive, f"{assets}?zarr=true")] == [True, True]
    assert len(results(archive, f"{assets}?glob=*.ZARR")) == 2


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/api/dandisets/999999/", 404, NOT_FOUND),
        (f"/api/dandisets/{PUBLISHED}/versions/0.010101.0101/", 404, NOT_FOUND),
        ("/api/assets/00000000-0000-4000-8000-000000000000/", 404, NOT_FOUND),
        (f"{DRAFT}assets/?page=0", 404, {"detail": "Invalid page."}),
        (f"{DRAFT}assets/?metadata=maybe", 400, {"metadata": ["Must be a valid boolean."]}),
        (
            f"{DRAFT}assets/?order=nonsense",
            400,
            {"order": ["Select a valid choice. nonsense is not one of the available choices."]},
        ),
        (
            "/api/dandisets/?embargoed=true",
            401,
            "Authentication credentials must be provided when attempting to access embargoed dandisets",
        ),
        (f"/api/dandisets/{EMBARGOED}/", 401, NO_TOKEN),
        (f"/api/dandisets/{EMBARGOED}/versions/draft/assets/", 401, NO_TOKEN),
    ],
)
def test_errors_are_spelled_as_upstream(archive: SimulatedArchive, path: str, status: int, body: object) -> None:
    answer = ask(archive, path)
    assert (answer.status, answer.json) == (status, body)


@pytest.mark.parametrize("path", ["/api/dandisets/3/", f"{DRAFT[:-6]}latest/", "/api/assets/", "/elsewhere"])
def test_what_is_no_address_is_an_html_page(archive: SimulatedArchive, path: str) -> None:
    answer = ask(archive, path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"<h1>Not Found</h1>" in answer.body


def test_a_missing_slash_is_a_redirection(archive: SimulatedArchive) -> None:
    answer = ask(archive, f"/api/dandisets/{PUBLISHED}")
    assert (answer.status, answer.headers["Location"], answer.body) == (
        301,
        f"/api/dandisets/{PUBLISHED}/",
        b"",
    )


def test_an_unknown_ordering_is_ignored(archive: SimulatedArchive) -> None:
    nonsense = results(archive, "/api/dandisets/?ordering=nonsense")
    assert nonsense == results(archive, "/api/dandisets/?ordering=created")
    assert nonsense == results(archive, "/api/dandisets/?ordering=-created")[::-1]


def test_ordering_by_modified_does_not_see_drafts_of_published_dandisets() -> None:
    with SimulatedArchive(generated_world(dandisets=6, assets=2)) as archive:
        archive.world.rename_dandiset("000001", "Never published")
        archive.world.rename_dandiset("000002", "Published once, edited last")
        rows = results(archive, "/api/dandisets/?ordering=-modified")
        assert rows[0]["identifier"] == "000001"
        assert max(rows, key=lambda row: str(row["draft_version"]["modified"]))["identifier"] == "000002"


def test_a_bad_token_is_refused_even_where_none_is_needed(archive: SimulatedArchive) -> None:
    answer = ask(archive, "/api/dandisets/", token="f" * 40)
    assert (answer.status, answer.json) == (401, {"detail": "Invalid token."})
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    ("token", "status", "user"),
    [
        (None, 401, "AnonymousUser"),
        (STRANGER_TOKEN, 403, "stranger"),
        (OWNER_TOKEN, 200, "owner"),
        (SUPERUSER_TOKEN, 200, "admin"),
    ],
)
def test_an_embargoed_dandiset_shows_itself_to_those_it_may(
    archive: SimulatedArchive, token: str | None, status: int, user: str
) -> None:
    base = f"/api/dandisets/{EMBARGOED}/"
    asset = next(iter(archive.world.dandisets[EMBARGOED].draft.assets.values()))
    paths = [base, f"{base}versions/", f"{base}versions/draft/info/", f"{base}versions/draft/assets/"]
    for path in [*paths, f"/api/assets/{asset.asset_id}/", f"/api/assets/{asset.asset_id}/info/"]:
        answer = ask(archive, path, token=token)
        assert (answer.status, answer.headers["X-Request-Username"]) == (status, user)


def test_the_listing_hides_embargoed_dandisets_until_asked_with_a_token(archive: SimulatedArchive) -> None:
    def listed(path: str, token: str | None) -> bool:
        return EMBARGOED in {row["identifier"] for row in results(archive, path, token)}

    assert not listed("/api/dandisets/", None)
    assert not listed("/api/dandisets/", OWNER_TOKEN)
    assert not listed("/api/dandisets/?embargoed=true", STRANGER_TOKEN)
    assert listed("/api/dandisets/?embargoed=true", OWNER_TOKEN)
    assert listed("/api/dandisets/?embargoed=true", SUPERUSER_TOKEN)


def test_the_listing_can_leave_drafts_and_empty_ones_out(archive: SimulatedArchive) -> None:
    published = results(archive, "/api/dandisets/?draft=false")
    assert published
    assert all(row["most_recent_published_version"] for row in published)
    filled = results(archive, "/api/dandisets/?empty=false")
    assert "000005" not in {row["identifier"] for row in filled}
    assert ask(archive, "/api/dandisets/?user=me").json["results"] == []
    assert len(results(archive, "/api/dandisets/?user=me", OWNER_TOKEN)) == 11
    assert ask(archive, "/api/dandisets/?user=other").status == 400


def test_bodies_are_compressed_when_asked_and_long_enough(archive: SimulatedArchive) -> None:
    plain = ask(archive, "/api/dandisets/", Accept_Encoding="identity")
    packed = ask(archive, "/api/dandisets/", Accept_Encoding="gzip, deflate")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.raw) < len(plain.raw) / 2
    assert packed.json == plain.json
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept, Cookie, Accept-Encoding, origin"
    short = ask(archive, "/api/dandisets/999999/", Accept_Encoding="gzip")
    assert "Content-Encoding" not in short.headers
    assert short.headers["Vary"] == "Accept, Cookie, origin"


def test_there_is_nothing_to_make_a_request_conditional_on(archive: SimulatedArchive) -> None:
    headers = ask(archive, DRAFT).headers
    assert not {"ETag", "Last-Modified", "Cache-Control"} & headers.keys()
    assert headers["Connection"] == "close"


def test_info_names_the_address_that_was_asked(archive: SimulatedArchive) -> None:
    info = ask(archive, "/api/info/", Host="archive.example").json
    assert info["services"]["api"]["url"] == "http://archive.example/api"
