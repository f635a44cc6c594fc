"""A small account that tests know by heart, and a client for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import requests

from dandi_pipeline_tests.simulators.airtable import SimulatedAirtable, World
from dandi_pipeline_tests.simulators.airtable.instants import Clock

MORNING = datetime(2026, 11, 20, 9, 0, tzinfo=timezone.utc)
"""When everything in the laboratory was entered; the clock is held there."""

_RESULT = {"type": "dateTime", "options": {"timeZone": "utc"}}
_DAY = {"type": "date", "options": {}}
_CHOICES = [{"id": "selTodo0000000001", "name": "Todo", "color": "redLight2"}]


@dataclass(frozen=True)
class Laboratory:
    """A base with the tables Labs (one record) and Sessions (five, S1 to S5), all made at `MORNING`."""

    world: World
    base: str
    labs: str
    lab: str
    sessions: str
    records: tuple[str, ...]

    def field(self, name: str) -> str:
        """Return the id of a field of Sessions."""
        return self.world.table(self.sessions).field(name).id

    def edit(self, number: int, **cells: Any) -> None:
        """Edit record S`number` of Sessions."""
        self.world.edit_record(self.sessions, self.records[number - 1], cells)


def laboratory() -> Laboratory:
    """Return a new laboratory."""
    clock = Clock(MORNING)
    clock.hold()
    world = World(seed=5, clock=clock)
    base = world.add_base("Lab notebook")
    labs = world.add_table(base, "Labs", [{"name": "Rate", "type": "number"}])
    lab = world.add_record(labs, {"Name": "Hodgkin", "Rate": 120})
    sessions = world.add_table(base, "Sessions", _fields(labs))
    _add_computed(world, sessions, labs)
    records = tuple(
        world.add_record(sessions, {"Name": f"S{number}", "Trials": number, "Lab": [lab] if number == 1 else []})
        for number in range(1, 6)
    )
    return Laboratory(world, base, labs, lab, sessions, records)


def _fields(labs: str) -> list[dict[str, Any]]:
    modified = {"isValid": True, "referencedFieldIds": []}
    return [
        {"name": "Trials", "type": "number"},
        {"name": "Reviewed", "type": "checkbox"},
        {"name": "Notes", "type": "multilineText"},
        {"name": "Status", "type": "singleSelect", "options": {"choices": _CHOICES}},
        {"name": "Tags", "type": "multipleSelects", "options": {"choices": _CHOICES}},
        {"name": "Planned", "type": "date"},
        {"name": "Files", "type": "multipleAttachments"},
        {"name": "Lab", "type": "multipleRecordLinks", "options": {"linkedTableId": labs}},
        {"name": "Modified", "type": "lastModifiedTime", "options": {**modified, "result": _RESULT}},
        {"name": "Modified day", "type": "lastModifiedTime", "options": {**modified, "result": _DAY}},
        {"name": "Score", "type": "formula", "options": {"isValid": True}},
    ]


def _add_computed(world: World, sessions: str, labs: str) -> None:
    link, rate = world.table(sessions).field("Lab").id, world.table(labs).field("Rate").id
    through = {"isValid": True, "recordLinkFieldId": link}
    world.add_field(sessions, "Rates", "multipleLookupValues", {**through, "fieldIdInLinkedTable": rate})
    world.add_field(sessions, "Labs", "count", through)


class Client:
    """Asks a simulated Airtable over its socket."""

    def __init__(self, airtable: SimulatedAirtable, token: str | None = None) -> None:
        self._airtable = airtable
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token or airtable.token}"

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, **params: Any) -> requests.Response:
        """GET a path below the API's URL; of a list, each item becomes a parameter."""
        return self._session.get(f"{self._airtable.api_url}/{path}", params=_spelled(params), timeout=20)

    def post(self, path: str, body: object = None, **params: Any) -> requests.Response:
        return self._session.post(f"{self._airtable.api_url}/{path}", params=params, json=body, timeout=20)

    def delete(self, path: str) -> requests.Response:
        return self._session.delete(f"{self._airtable.api_url}/{path}", timeout=20)

    def control(self, path: str, body: object = None) -> requests.Response:
        """POST to the control API, or GET if there is no body."""
        url = f"{self._airtable.control_url}/{path}"
        return self._session.get(url, timeout=20) if body is None else self._session.post(url, json=body, timeout=20)

    def pages(self, path: str, **params: Any) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a list, each asked for only when it is wanted."""
        offset: dict[str, str] = {}
        while True:
            page = self.get(path, **params, **offset).json()
            yield page["records"]
            if "offset" not in page:
                return
            offset = {"offset": page["offset"]}

    def rows(self, path: str, **params: Any) -> dict[str, dict[str, Any]]:
        """Return the fields of all records of a list by record id."""
        return {row["id"]: row["fields"] for page in self.pages(path, **params) for row in page}


def _spelled(params: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}[]" if isinstance(value, list) else name: value for name, value in params.items()}
