"""The service insists on what Notion insists on, and says so as Notion does."""

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import pytest

from dandi_pipeline_tests.simulators.notion import LATEST, LEGACY, SimulatedNotion, World
from dandi_pipeline_tests.test_simulators.notion.asking import Asker


def test_a_request_without_a_known_token_is_unauthorized(notion: SimulatedNotion) -> None:
    for token in (None, "ntn_stranger"):
        with Asker(notion, token=token) as stranger:
            answer = stranger.get("/users/me")
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthorized"


def test_a_request_without_a_version_is_refused(notion: SimulatedNotion) -> None:
    with Asker(notion, version=None) as unversioned:
        answer = unversioned.get("/users/me")
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_version")


def test_a_version_that_never_was_is_refused(notion: SimulatedNotion) -> None:
    with Asker(notion, version="2024-01-01") as mistaken:
        answer = mistaken.get("/users/me")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


def test_the_token_names_its_bot(asker: Asker) -> None:
    me = asker.get("/users/me").json()
    assert me["type"] == "bot"
    assert me["bot"]["workspace_limits"]["max_file_upload_size_in_bytes"] > 0


def test_every_error_has_the_same_shape(asker: Asker) -> None:
    answer = asker.get("/pages/248104cd-477e-80af-bc30-000bd28de8f9")
    assert answer.status_code == 404
    assert answer.json() == {
        "object": "error",
        "status": 404,
        "code": "object_not_found",
        "message": "Could not find page with ID: 248104cd-477e-80af-bc30-000bd28de8f9. "
        "Make sure the relevant pages and databases are shared with your integration.",
        "request_id": answer.headers["x-notion-request-id"],
    }


def test_the_date_header_is_the_worlds_time(world: World, asker: Asker) -> None:
    there = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
    world.clock.set(there)
    answer = asker.get("/users/me")
    assert parsedate_to_datetime(answer.headers["Date"]) == there
    assert answer.headers["cf-ray"]
    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


def test_ids_are_taken_with_and_without_dashes(world: World, asker: Asker) -> None:
    page = world.add_page(world.add_data_source("Tasks").id, {"Name": "Bug bash"})
    for spelling in (page.id, page.id.replace("-", "")):
        assert asker.get(f"/pages/{spelling}").json()["id"] == page.id


def test_what_is_no_id_is_refused_by_name(asker: Asker) -> None:
    answer = asker.get("/pages/not-an-id")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert "path.page_id" in answer.json()["message"]


def test_broken_json_is_told_from_wrong_json(world: World, asker: Asker) -> None:
    path = f"/data_sources/{world.add_data_source('Tasks').id}/query"
    assert asker.post_raw(path, b'{"page_size":').json()["code"] == "invalid_json"
    assert asker.post(path, ["page_size"]).json()["code"] == "validation_error"
    assert asker.post(path, {"in_trash": True}).json()["code"] == "validation_error"


@pytest.mark.parametrize("size", [0, 101, "ten", True])
def test_a_page_size_out_of_bounds_is_refused(world: World, asker: Asker, size: object) -> None:
    answer = asker.post(f"/data_sources/{world.add_data_source('Tasks').id}/query", {"page_size": size})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


def test_an_address_that_does_not_exist_is_an_invalid_url(world: World, asker: Asker, notion: SimulatedNotion) -> None:
    source = world.add_data_source("Tasks")
    assert asker.get("/elsewhere").json()["code"] == "invalid_request_url"
    assert asker.post(f"/databases/{source.database_id}/query", {}).json()["code"] == "invalid_request_url"
    with Asker(notion, version=LEGACY) as legacy:
        assert legacy.get(f"/data_sources/{source.id}").json()["code"] == "invalid_request_url"


def test_users_are_listed_in_pages_by_a_cursor_in_the_query(world: World, asker: Asker) -> None:
    world.add_user("Łucja", email="lucja@example.org")
    world.add_user("Reviewers", group=True)
    first = asker.get("/users", page_size=2).json()
    second = asker.get("/users", page_size=2, start_cursor=first["next_cursor"]).json()
    assert [user["name"] for user in (*first["results"], *second["results"])] == ["Ada", "Mirror", "Łucja"]
    assert (first["type"], first["user"], second["has_more"]) == ("user", {}, False)


def test_a_connection_without_user_details_sees_ids_only(world: World, notion: SimulatedNotion) -> None:
    world.connect("Modest", token="ntn_modest", sees_user_details=False)
    source = world.add_data_source("Tasks", properties={"Owner": "people"})
    page = world.add_page(source.id, {"Owner": [world.author.id]})
    with Asker(notion, token="ntn_modest") as modest:
        assert modest.get("/users").json()["code"] == "restricted_resource"
        owner = modest.get(f"/pages/{page.id}").json()["properties"]["Owner"]["people"]
    assert owner == [{"object": "user", "id": world.author.id}]


def test_objects_carry_archived_until_the_version_that_dropped_it(world: World, notion: SimulatedNotion) -> None:
    page = world.add_page(world.add_data_source("Tasks").id, {"Name": "Bug bash"})
    world.trash_page(page.id)
    for version in (LEGACY, "2025-09-03", LATEST):
        with Asker(notion, version=version) as asker:
            shown = asker.get(f"/pages/{page.id}").json()
        assert shown["in_trash"] is True
        assert shown.get("archived") is (None if version == LATEST else True)


def test_a_pages_body_is_its_blocks(world: World, asker: Asker) -> None:
    page = world.add_page(world.add_data_source("Tasks").id, {"Name": "Bug bash"})
    world.write_body(page.id, ["First.", "Second."])
    blocks = asker.get(f"/blocks/{page.id}/children").json()["results"]
    assert [block["paragraph"]["rich_text"][0]["plain_text"] for block in blocks] == ["First.", "Second."]
