"""Webhooks: a change feed that is polled, the only place where deletions are told."""

from typing import Any

from .laboratory import Client, Laboratory

WEEK = 7 * 86_400


def subscribe(client: Client, lab: Laboratory, scope: str | None = None) -> str:
    """Make a webhook and return where it is."""
    filters = {"dataTypes": ["tableData"], **({"recordChangeScope": scope} if scope else {})}
    made = client.post(f"bases/{lab.base}/webhooks", {"specification": {"options": {"filters": filters}}})
    assert made.status_code == 200
    assert made.json().keys() == {"id", "macSecretBase64", "expirationTime"}
    return f"bases/{lab.base}/webhooks/{made.json()['id']}"


def changes(page: dict[str, Any], table: str) -> list[dict[str, Any]]:
    return [payload["changedTablesById"][table] for payload in page["payloads"]]


def test_a_feed_tells_what_was_added_edited_and_deleted(client: Client, lab: Laboratory) -> None:
    hook = subscribe(client, lab)
    name, status = lab.field("Name"), lab.field("Status")
    added = lab.world.add_record(lab.sessions, {"Name": "S6"})
    lab.world.edit_record(lab.sessions, added, {"Name": "S7", "Status": "Todo"})
    lab.world.delete_record(lab.sessions, added)
    page = client.get(f"{hook}/payloads").json()
    todo = {"id": "selTodo0000000001", "name": "Todo", "color": "redLight2"}
    assert changes(page, lab.sessions) == [
        {
            "createdRecordsById": {
                added: {"createdTime": "2026-11-20T09:00:00.000Z", "cellValuesByFieldId": {name: "S6"}}
            }
        },
        {
            "changedRecordsById": {
                added: {
                    "current": {"cellValuesByFieldId": {name: "S7", status: todo}},
                    "previous": {"cellValuesByFieldId": {name: "S6", status: None}},
                }
            }
        },
        {"destroyedRecordIds": [added]},
    ]
    assert (page["cursor"], page["mightHaveMore"]) == (4, False)
    assert page["payloads"][0].keys() == {
        "timestamp",
        "baseTransactionNumber",
        "payloadFormat",
        "actionMetadata",
        "changedTablesById",
    }


def test_a_feed_tells_changes_of_fields(client: Client, lab: Laboratory) -> None:
    hook, notes = subscribe(client, lab), lab.field("Notes")
    lab.world.rename_field(lab.sessions, "Notes", "Remarks")
    lab.world.remove_field(lab.sessions, "Remarks")
    assert changes(client.get(f"{hook}/payloads").json(), lab.sessions) == [
        {"changedFieldsById": {notes: {"current": {"name": "Remarks"}, "previous": {"name": "Notes"}}}},
        {"destroyedFieldIds": [notes]},
    ]


def test_a_feed_tells_nothing_that_nobody_did(client: Client, lab: Laboratory) -> None:
    hook = subscribe(client, lab)
    lab.world.recompute(lab.sessions, lab.records[0], "Score", 1)
    lab.edit(1, Trials=1)
    assert client.get(f"{hook}/payloads").json() == {"cursor": 1, "mightHaveMore": False, "payloads": []}


def test_a_feed_of_one_table_tells_of_no_other(client: Client, lab: Laboratory) -> None:
    hook = subscribe(client, lab, scope=lab.labs)
    lab.edit(1, Notes="Edited")
    lab.world.edit_record(lab.labs, lab.lab, {"Rate": 1})
    page = client.get(f"{hook}/payloads").json()
    assert [list(payload["changedTablesById"]) for payload in page["payloads"]] == [[lab.labs]]


def test_a_cursor_takes_a_reader_through_pages_and_is_never_reset(client: Client, lab: Laboratory) -> None:
    hook = subscribe(client, lab)
    for trial in range(10, 70):
        lab.edit(1, Trials=trial)
    first = client.get(f"{hook}/payloads").json()
    assert (len(first["payloads"]), first["cursor"], first["mightHaveMore"]) == (50, 51, True)
    second = client.get(f"{hook}/payloads", cursor=51, limit=4).json()
    assert (len(second["payloads"]), second["cursor"], second["mightHaveMore"]) == (4, 55, True)
    lab.world.clock.advance(WEEK - 60)
    lab.edit(1, Trials=70)
    lab.world.clock.advance(120)
    late = client.get(f"{hook}/payloads", cursor=55).json()
    assert (len(late["payloads"]), late["cursor"], late["mightHaveMore"]) == (1, 62, False)


def test_a_webhook_expires_unless_it_is_read_or_refreshed(client: Client, lab: Laboratory) -> None:
    read, refreshed, forgotten = (subscribe(client, lab) for _ in range(3))
    lab.world.clock.advance(WEEK - 1)
    client.get(f"{read}/payloads")
    assert client.post(f"{refreshed}/refresh").json() == {"expirationTime": "2026-12-04T08:59:59.000Z"}
    lab.world.clock.advance(2)
    hooks = client.get(f"bases/{lab.base}/webhooks").json()["webhooks"]
    assert [hook["isHookEnabled"] for hook in hooks] == [True, True, False]
    lab.edit(1, Notes="Edited")
    assert len(client.get(f"{read}/payloads").json()["payloads"]) == 1
    assert client.get(f"{forgotten}/payloads").json()["payloads"] == []
    lab.world.clock.advance(WEEK)
    gone = client.get(f"{forgotten}/payloads")
    assert (gone.status_code, gone.json()) == (404, {"error": {"type": "NOT_FOUND"}})


def test_a_base_has_at_most_ten_webhooks(client: Client, lab: Laboratory) -> None:
    hooks = [subscribe(client, lab) for _ in range(10)]
    body = {"specification": {"options": {"filters": {"dataTypes": ["tableData"]}}}}
    assert client.post(f"bases/{lab.base}/webhooks", body).status_code == 422
    assert client.delete(hooks[0]).status_code == 200
    assert client.post(f"bases/{lab.base}/webhooks", body).status_code == 200


def test_only_creators_may_subscribe(client: Client, lab: Laboratory) -> None:
    base = lab.world.add_base("Somebody else's", permission="read")
    assert client.get(f"bases/{base}/webhooks").json()["error"]["type"] == "INVALID_PERMISSIONS"


def test_a_specification_has_to_say_what_is_subscribed_to(client: Client, lab: Laboratory) -> None:
    for filters in ({}, {"dataTypes": ["tableFields"]}, {"dataTypes": ["tableData"], "recordChangeScope": "tblNone"}):
        body = {"specification": {"options": {"filters": filters}}}
        assert client.post(f"bases/{lab.base}/webhooks", body).status_code == 422
