"""The simulated archive answers as the real server did, in every request that was recorded of that one.

The recordings and the metadata that the real server was filled with lie beside the checkout, where they are at
all; without them these tests have no cases, and `test_dandi_shapes` holds the simulator to the same shapes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from dandi_pipeline_tests.simulators.dandi import STRANGER_TOKEN, SUPERUSER_TOKEN, SimulatedArchive, World, corpus_world
from dandi_pipeline_tests.test_simulators.asking import Answer, ask

SHARED = Path(__file__).parents[4] / "shared"
RECORDINGS = sorted((SHARED / "recordings" / "dandi").glob("[0-9][0-9]-*.json"))[1:]
CHANGES = SHARED / "recordings" / "dandi" / "00-changes-applied-before-recording.json"

TOKENS = {
    None: None,
    "token of a superuser": SUPERUSER_TOKEN,
    "token of a user who owns nothing": STRANGER_TOKEN,
    "token that does not exist": "no-such-token",
}
HEADERS = (
    "Connection",
    "Content-Type",
    "Vary",
    "Allow",
    "WWW-Authenticate",
    "Location",
    "Transfer-Encoding",
    "Content-Encoding",
    "X-Frame-Options",
    "X-Request-Username",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
)
HOST = "http://archive.example"
IDENTITIES = ("asset_id", "version", "identifier")
REMOVED_ASSET = "52-asset-removed-from-draft-still-200"


@dataclass(frozen=True)
class Recording:
    """One request, and the answer of the real server; `cut` lists show only their first rows."""

    name: str
    path: str
    token: str | None
    accept_encoding: str
    status: int
    headers: Mapping[str, str]
    body: Any
    cut: bool

    @classmethod
    def load(cls, file: Path) -> "Recording":
        recorded = orjson.loads(file.read_bytes())
        request, response = recorded["request"], recorded["response"]
        return cls(
            name=file.stem,
            path=request["path"],
            token=TOKENS[request["authorization"]],
            accept_encoding=request["accept_encoding"],
            status=response["status"],
            headers=response["headers"],
            body=response["body"],
            cut="body_truncated" in recorded,
        )

    @property
    def lists_dandisets(self) -> bool:
        return self.path.startswith("/api/dandisets/?") or self.path == "/api/dandisets/"

    @property
    def lists_versions(self) -> bool:
        return self.path.endswith("/versions/")


class Recorded:
    """The world in which the recordings were made, as far as the corpus determines it."""

    def __init__(self) -> None:
        self.world: World = corpus_world(SHARED / "corpus")
        self.known = {*self.world.dandisets, "001202", "001203"}
        self._bodies = {file.stem: Recording.load(file).body for file in RECORDINGS}
        for change in orjson.loads(CHANGES.read_bytes()):
            if change["dandiset"] in self.known:
                getattr(self, f"_{change['op']}")(change)
        self._rebuild_removed_asset()

    def _touch(self, change: dict[str, Any]) -> None:
        asset = self.world.edit_asset(
            change["dandiset"],
            change["path"],
            metadata={"dateModified": "2026-11-22T05:03:04+00:00"},
            asset_id=change["new_asset_id"],
        )
        row = self._row_of("43-assets-order-modified-desc", asset.asset_id)
        self.world.rewrite_asset(asset.asset_id, created=row["created"], modified=row["modified"])
        self._settle(change)

    def _move(self, change: dict[str, Any]) -> None:
        self.world.move_asset(change["dandiset"], change["path"], change["new_path"])
        self._settle(change)

    def _remove(self, change: dict[str, Any]) -> None:
        self.world.remove_asset(change["dandiset"], change["path"])
        self._settle(change)

    def _add(self, change: dict[str, Any]) -> None:
        self.world.add_asset(change["dandiset"], change["path"], asset_id=change["asset_id"])
        self._settle(change)

    def _rename(self, change: dict[str, Any]) -> None:
        self.world.rename_dandiset(change["dandiset"], change["name"])
        self._settle(change)

    def _editmeta(self, change: dict[str, Any]) -> None:
        self.world.edit_dandiset(change["dandiset"], {"description": "edited"})
        self._settle(change)

    def _publish(self, change: dict[str, Any]) -> None:
        self.world.publish(change["dandiset"], version=change["version"])
        self.world.store_doi(change["dandiset"], change["version"])
        row = self._bodies["15-dandiset-just-published"]["most_recent_published_version"]
        self.world.rewrite_version(
            change["dandiset"], change["version"], created=row["created"], modified=row["modified"]
        )
        self._settle(change)

    def _delete(self, change: dict[str, Any]) -> None:
        self.world.delete_dandiset(change["dandiset"])

    def _new_dandiset(self, change: dict[str, Any]) -> None:
        self._create(change, embargoed=False)

    def _new_embargoed(self, change: dict[str, Any]) -> None:
        self._create(change, embargoed=True)

    def _create(self, change: dict[str, Any], embargoed: bool) -> None:
        identifier = change["dandiset"]
        row = self._row_of("10-dandisets-embargoed-owner", identifier)
        self.world.create_dandiset(change["name"], identifier=identifier, embargoed=embargoed, owner="admin")
        contact = {"name": "Local, Admin", "roleName": ["dcite:ContactPerson"]}
        self.world.edit_dandiset(identifier, {"contributor": [contact]})
        rest = row["draft_version"]["size"]
        for asset_id in change["asset_ids"]:
            last = asset_id == change["asset_ids"][-1]
            asset = self.world.add_asset(identifier, f"{asset_id}.nwb", asset_id=asset_id, size=rest if last else 1)
            rest -= asset.size
        self.world.rewrite_dandiset(identifier, created=row["created"], modified=row["modified"])
        self.world.rewrite_version(identifier, created=row["draft_version"]["created"])
        self._settle(change)

    def _settle(self, change: dict[str, Any]) -> None:
        after = change["after"]
        self.world.rewrite_version(change["dandiset"], modified=after["draft_modified"], status=after["draft_status"])

    def _rebuild_removed_asset(self) -> None:
        """The asset's own dandiset is not in the corpus: add the asset to another one, and remove it there."""
        row = self._bodies[REMOVED_ASSET]
        self.world.add_asset("000029", row["path"], blob=row["blob"], asset_id=row["asset_id"], size=row["size"])
        self.world.rewrite_asset(
            row["asset_id"], created=row["created"], modified=row["modified"], metadata=row["metadata"]
        )
        before = self._bodies["29-version-draft-info"]
        self.world.remove_asset("000029", row["path"])
        self.world.rewrite_version("000029", modified=before["modified"], status=before["status"])

    def _row_of(self, name: str, identity: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self._bodies[name]["results"]
        return next(row for row in rows if identity in (_identity(row)))


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[key] for key in IDENTITIES if key in row)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture(scope="module")
def archive(recorded: Recorded) -> Iterator[SimulatedArchive]:
    with SimulatedArchive(recorded.world) as archive:
        yield archive


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.stem)
def test_answers_as_the_real_server_did(file: Path, recorded: Recorded, archive: SimulatedArchive) -> None:
    recording = Recording.load(file)
    answer = ask(
        archive,
        recording.path,
        token=recording.token,
        Accept_Encoding=recording.accept_encoding,
        Host=HOST.removeprefix("http://"),
    )
    assert answer.status == recording.status
    assert _named(answer.headers) == _named(recording.headers)
    served = _loaded(answer)
    if isinstance(served, dict) and "results" in served:
        _assert_same_page(served, recording, recorded.known)
    else:
        _assert_same(served, recording.body)


def _named(headers: Mapping[str, str]) -> dict[str, str | None]:
    return {name: headers.get(name) for name in HEADERS}


def _loaded(answer: Answer) -> Any:
    if not answer.headers["Content-Type"].startswith("application/json"):
        return answer.body.decode()
    text = answer.body.decode().replace("https://api.dandiarchive.org/api/assets/", f"{HOST}/api/assets/")
    return orjson.loads(text)


def _assert_same(served: object, recorded: object) -> None:
    """The same values of the same types: in Python alone, 1 equals true."""
    assert served == recorded
    assert orjson.dumps(served, option=orjson.OPT_SORT_KEYS) == orjson.dumps(recorded, option=orjson.OPT_SORT_KEYS)


def _assert_same_page(served: dict[str, Any], recording: Recording, known: set[str]) -> None:
    """The same page: exactly, but for what the corpus does not determine.

    The real server held dandisets that the corpus lacks, and fewer of the old published versions: such lists are
    compared row by row, in the order of the rows that both have.
    """
    results, rows = recording.body["results"], served["results"]
    if recording.lists_dandisets or recording.lists_versions:
        assert type(served.pop("count")) is type(recording.body.pop("count"))
        common = {_identity(row) for row in results} & {_identity(row) for row in rows}
        required = {_identity(row) for row in results if recording.lists_versions or row["identifier"] in known}
        assert common >= required
        rows = [row for row in rows if _identity(row) in common]
        results = [row for row in results if _identity(row) in common]
    elif recording.cut:
        rows = rows[: len(results)]
    _assert_same(rows, results)
    _assert_same(served | {"results": None}, recording.body | {"results": None})
