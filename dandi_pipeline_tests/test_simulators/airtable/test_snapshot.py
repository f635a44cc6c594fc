"""The snapshot, the made-up account and what a mirror of them has to hold."""

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from dandi_pipeline_tests.simulators.airtable import UNLIMITED, Clock, SimulatedAirtable, generated_world
from dandi_pipeline_tests.simulators.airtable import without_signatures as unsigned
from dandi_pipeline_tests.simulators.airtable.field_types import FIELD_TYPES
from dandi_pipeline_tests.simulators.airtable.generated import UNKNOWN_TYPE

from .laboratory import Client, Laboratory

PICTURE = {"filename": "trace.png", "size": 1_024, "type": "image/png", "width": 100, "height": 80}


def mirrored(client: Client) -> dict[str, dict[str, Any]]:
    """Read the whole account over the API, into the shape of a snapshot."""
    return {
        base["id"]: {**base, "tables": {table["id"]: mirrored_table(client, base["id"], table) for table in tables}}
        for base in client.get("meta/bases").json()["bases"]
        for tables in [client.get(f"meta/bases/{base['id']}/tables").json()["tables"]]
    }


def mirrored_table(client: Client, base: str, schema: dict[str, Any]) -> dict[str, Any]:
    rows = [row for page in client.pages(f"{base}/{schema['id']}", returnFieldsByFieldId="true") for row in page]
    fields = {row["id"]: {key: unsigned(cell) for key, cell in row["fields"].items()} for row in rows}
    return {"schema": schema, "records": {row["id"]: {**row, "fields": fields[row["id"]]} for row in rows}}


def test_a_quiet_account_read_over_the_api_equals_its_snapshot() -> None:
    world = generated_world(tables=4, records=130)
    with SimulatedAirtable(world, limits=UNLIMITED) as airtable:
        client = Client(airtable)
        assert mirrored(client) == world.snapshot()
        client.close()


def test_a_snapshot_holds_what_its_token_may_see(client: Client, lab: Laboratory) -> None:
    hidden = lab.world.add_base("Hidden")
    lab.world.revoke_base(hidden)
    lab.world.add_token("patOther", bases=[hidden])
    assert lab.world.snapshot("patOther").keys() == {hidden}
    assert lab.world.snapshot().keys() == {lab.base, hidden}
    assert mirrored(client).keys() == {lab.base}


def test_a_snapshot_is_a_copy(lab: Laboratory) -> None:
    before = lab.world.snapshot()
    lab.edit(1, Notes="Edited")
    after = lab.world.snapshot()
    record = lab.records[0]
    shown = [taken[lab.base]["tables"][lab.sessions]["records"][record]["fields"] for taken in (before, after)]
    assert lab.field("Notes") in shown[1].keys() - shown[0].keys()
    lab.world.change_options(lab.sessions, "Score", isValid=False)
    assert after != lab.world.snapshot()


def test_attachments_have_another_url_at_each_reading(client: Client, lab: Laboratory, path: str) -> None:
    lab.edit(1, Files=[PICTURE])
    (first,), (second,) = (client.rows(path)[lab.records[0]]["Files"] for _ in range(2))
    assert first["url"] != second["url"]
    assert all(first["thumbnails"][size]["url"] != second["thumbnails"][size]["url"] for size in first["thumbnails"])
    assert {key: first[key] for key in PICTURE} == PICTURE
    (before,), (after,) = unsigned([first]), unsigned([second])
    assert before == after
    assert "url" not in before
    assert before["thumbnails"]["small"].keys() == {"width", "height"}


def test_attachments_are_signed_and_unsigned_where_they_are_looked_up_too(client: Client, lab: Laboratory) -> None:
    lab.edit(1, Files=[PICTURE])
    link = lab.world.add_field(lab.labs, "Sessions", "multipleRecordLinks", {"linkedTableId": lab.sessions})
    through = {"recordLinkFieldId": link, "fieldIdInLinkedTable": lab.field("Files")}
    lab.world.add_field(lab.labs, "Traces", "multipleLookupValues", through)
    lab.world.edit_record(lab.labs, lab.lab, {"Sessions": [lab.records[0]]})
    first, second = (client.rows(f"{lab.base}/{lab.labs}")[lab.lab]["Traces"] for _ in range(2))
    assert first != second
    assert unsigned(first) == unsigned(second)


def test_the_url_of_a_button_is_no_signature() -> None:
    button = {"label": "Open", "url": "https://example.org"}
    assert unsigned(button) == button


def test_the_made_up_account_has_every_type_of_field_and_one_that_is_unknown() -> None:
    bases = generated_world(tables=1, records=0).bases.values()
    types = {f.type for base in bases for table in base.tables.values() for f in table.fields.values()}
    assert types == {*FIELD_TYPES, UNKNOWN_TYPE}
    assert UNKNOWN_TYPE not in FIELD_TYPES


def test_the_made_up_account_fills_every_field_somewhere() -> None:
    for base in generated_world(tables=1, records=60).snapshot().values():
        for table in base["tables"].values():
            filled = {field_id for record in table["records"].values() for field_id in record["fields"]}
            assert filled == {field["id"] for field in table["schema"]["fields"]}


def test_the_same_seed_makes_up_the_same_account() -> None:
    def account(seed: int) -> object:
        clock = Clock(datetime(2026, 11, 20, tzinfo=timezone.utc))
        clock.hold()
        return generated_world(tables=2, records=10, seed=seed, clock=clock).snapshot()

    assert account(3) == account(3) != account(4)


def test_the_made_up_account_lies_in_the_past() -> None:
    began = datetime.now(timezone.utc)
    world = generated_world(tables=2, records=20)
    records = [r for base in world.bases.values() for table in base.tables.values() for r in table.records.values()]
    assert max(max([record.created, *record.edits.values()]) for record in records) < began
    assert abs((world.clock.now() - began).total_seconds()) < 60


def test_the_date_header_tells_the_worlds_time(client: Client, lab: Laboratory) -> None:
    lab.world.clock.set(datetime(2027, 2, 3, 4, 5, 6, tzinfo=timezone.utc))
    told = client.get("meta/whoami").headers["Date"]
    assert parsedate_to_datetime(told) == datetime(2027, 2, 3, 4, 5, 6, tzinfo=timezone.utc)


def test_bases_are_listed_page_by_page(lab: Laboratory) -> None:
    bases = [lab.base, *(lab.world.add_base(f"Base {number}") for number in range(4))]
    with SimulatedAirtable(lab.world, limits=UNLIMITED, bases_per_page=2) as airtable:
        client = Client(airtable)
        seen: list[str] = []
        offset: dict[str, str] = {}
        while True:
            page = client.get("meta/bases", **offset).json()
            seen += [base["id"] for base in page["bases"]]
            if "offset" not in page:
                break
            offset = {"offset": page["offset"]}
        client.close()
    assert seen == bases
    assert airtable.requests.by_kind["bases"] == 3
