"""An archive that costs next to nothing to ask: every answer is made beforehand and kept in memory, gzipped.

It runs in a process of its own, so that what is measured is the client alone. Its dandisets are drafts that were
never published; an asset's metadata is as long as in the real archive, 2.4 kB.
"""

import gzip
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, count, cycle, islice
from math import ceil
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from dandi_pipeline_tests.end_to_end.rig import CORPUS
from dandi_pipeline_tests.simulators.dandi import generated_world
from dandi_pipeline_tests.simulators.dandi.generated import STARTED
from dandi_pipeline_tests.simulators.dandi.metadata import content_url, publication
from dandi_pipeline_tests.simulators.dandi.records import spell

PAGE_SIZE = 1000

AT = spell(STARTED)

_SHARED = 0.01
"""What share of the files are copies of others."""

_SPAWNING = get_context("spawn")

Json = dict[str, Any]


@contextmanager
def static_archive(*sizes: int) -> Iterator[str]:
    """Serve dandisets of so many assets each; lend the API's address. Makes about 20,000 assets a second first."""
    receiver, sender = _SPAWNING.Pipe(duplex=False)
    process = _SPAWNING.Process(target=_serve, args=(sizes, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield receiver.recv()
    finally:
        receiver.close()
        process.terminate()
        process.join()
        process.close()


def _serve(sizes: Sequence[int], address: Connection) -> None:
    answers = dict(_answers(sizes))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The head and the body are two writes: without this each answer waits for an acknowledgement.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = answers[_name(self.path)]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address.send(f"http://127.0.0.1:{server.server_address[1]}/api")
        server.serve_forever()


def _name(url: str) -> str:
    """Return the path of a request with its page; how many rows that has, and how they are, is fixed here."""
    parts = urlsplit(url)
    page = parse_qs(parts.query).get("page", ["1"])[0]
    return f"{parts.path} {page}"


def _answers(sizes: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    """Yield every answer by its name."""
    versions = {f"{number:06d}": _version(number, size) for number, size in enumerate(sizes, start=1)}
    rows = [_dandiset(identifier) | {"draft_version": version} for identifier, version in versions.items()]
    for number, page in enumerate(_pages(rows), start=1):
        yield f"/api/dandisets/ {number}", _envelope(page, count=len(rows), more=number * PAGE_SIZE < len(rows))
    assets = _assets()
    for identifier, version in versions.items():
        draft = f"/api/dandisets/{identifier}/versions/draft"
        info = {**version, "dandiset": _dandiset(identifier), "metadata": _dandiset_metadata(identifier, version)}
        yield f"{draft}/info/ 1", _packed(info)
        total = version["asset_count"]
        for number in range(1, max(1, ceil(total / PAGE_SIZE)) + 1):
            page = list(islice(assets, min(PAGE_SIZE, total - (number - 1) * PAGE_SIZE)))
            shown = total if number == 1 else None
            yield f"{draft}/assets/ {number}", _envelope(page, count=shown, more=number * PAGE_SIZE < total)


def _dandiset_metadata(identifier: str, version: Json) -> Json:
    """Return what questions ask of a dandiset; every tenth is about the same, by the same people."""
    number = int(identifier)
    return {
        "name": version["name"],
        "license": ["spdx:CC-BY-4.0"],
        "about": [{"schemaKey": "Anatomy", "name": "hippocampus", "identifier": f"UBERON:{number % 10}"}],
        "contributor": [
            {"schemaKey": "Person", "name": f"Person {number % 10}", "roleName": ["dcite:ContactPerson"]},
            {"schemaKey": "Organization", "name": "NIH", "awardNumber": f"R01NS12388{number % 10}"},
        ],
        "relatedResource": [{"identifier": f"doi:10.1038/nature{number % 10}", "relation": "dcite:IsDescribedBy"}],
        "assetsSummary": {"numberOfFiles": version["asset_count"], "numberOfBytes": version["size"]},
    }


def _pages(rows: Sequence[Json]) -> Iterator[Sequence[Json]]:
    for start in range(0, max(1, len(rows)), PAGE_SIZE):
        yield rows[start : start + PAGE_SIZE]


def _envelope(rows: Sequence[Json], *, count: int | None, more: bool) -> bytes:
    return _packed({"count": count, "next": "more" if more else None, "previous": None, "results": rows})


def _packed(answer: Json) -> bytes:
    return gzip.compress(orjson.dumps(answer), compresslevel=1)


def _dandiset(identifier: str) -> Json:
    return {
        "identifier": identifier,
        "created": AT,
        "modified": AT,
        "contact_person": "Buzsáki, György",
        "embargo_status": "OPEN",
        "most_recent_published_version": None,
    }


def _version(number: int, size: int) -> Json:
    return {
        "version": "draft",
        "name": f"Recordings, part {number}",
        "asset_count": size,
        "size": size * 10**9,
        "status": "Valid",
        "created": AT,
        "modified": AT,
    }


def _assets() -> Iterator[Json]:
    """Yield assets without end: metadata in turn from a few made-up ones, identifiers as random as real ones."""
    chance = random.Random(0)
    world = generated_world(dandisets=1, large=200)
    templates = [_completed(asset.metadata) for asset in world.dandisets["000001"].draft.assets.values()]
    for number, (path, template) in enumerate(zip(paths(), cycle(templates), strict=False)):
        yield _asset(path, _of_subject(template, number), chance)


def _of_subject(template: Json, number: int) -> Json:
    """Return metadata as of one of many subjects, three assets each, recorded on one of many days."""
    session, activity = template["wasGeneratedBy"]
    day = f"20{10 + number // 9_000 % 15}-{number // 750 % 12 + 1:02d}-{number // 30 % 28 + 1:02d}"
    started = f"{day}T11:22:{number % 60:02d}-04:00"
    variables = _VARIABLES[number // 700 % len(_VARIABLES)]
    return {
        **template,
        "wasGeneratedBy": [{**session, "startDate": started}, activity],
        "wasAttributedTo": [
            {**person, "identifier": f"{person['identifier']}-{number // 3}"}
            for person in template.get("wasAttributedTo", ())
        ],
        "variableMeasured": [{"schemaKey": "PropertyValue", "value": variable} for variable in variables],
    }


def _completed(metadata: Json) -> Json:
    """Return metadata with what makes real ones as long as they are: sessions described, a publication."""
    session = {
        "schemaKey": "Session",
        "description": "Chronic silicon probe recordings of freely moving animals on a linear track, with sleep"
        " before and after; spikes sorted automatically and curated by hand, position from two head-mounted diodes.",
        "startDate": "2019-05-04T11:22:30-04:00",
    }
    return {
        **metadata,
        **publication(STARTED, "6f5b3a08-5b7a-4f0e-9d0c-0d4d2b1b8a57"),
        "wasGeneratedBy": [{**session, "name": metadata["wasGeneratedBy"][0]["name"]}, _ACTIVITY],
        "keywords": ["hippocampus", "theta sequences", "place fields"],
    }


_VARIABLES = [
    ["Units", "ElectricalSeries"],
    ["LFP", "Units", "ElectricalSeries", "ElectrodeGroup"],
    ["PlaneSegmentation", "ImagingPlane", "OpticalChannel"],
    ["CurrentClampStimulusSeries", "CurrentClampSeries"],
    ["BehavioralTimeSeries", "SpatialSeries", "Position"],
    ["ProcessingModule"],
]

# As most real assets have it beside their session.
_ACTIVITY = {
    "schemaKey": "Activity",
    "id": "urn:uuid:898615fa-ca78-47fa-b9f2-b64ef6f1120b",
    "name": "Metadata generation",
    "description": "Metadata generated by DANDI cli",
}


def _asset(path: str, template: Mapping[str, Any], chance: random.Random) -> Json:
    asset_id, blob = _uuid(chance), _uuid(chance)
    digest = chance.randbytes(32).hex()
    if chance.random() < _SHARED:
        digest = f"{chance.randrange(1_000):064x}"
    size = chance.randint(10**4, 10**11)
    metadata = {
        **template,
        "id": f"dandiasset:{asset_id}",
        "identifier": asset_id,
        "path": path,
        "contentSize": size,
        "contentUrl": content_url(asset_id, blob, None),
        "digest": {
            "dandi:sha2-256": digest,
            "dandi:dandi-etag": f"{chance.randbytes(16).hex()}-1",
        },
    }
    row = {"asset_id": asset_id, "blob": blob, "zarr": None, "path": path, "size": size, "created": AT, "modified": AT}
    return row | {"metadata": metadata}


def _uuid(chance: random.Random) -> str:
    digits = chance.randbytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def paths() -> Iterator[str]:
    """Yield paths without end, all of them different: those of the largest real dandisets, where they are at hand."""
    recorded = list(_recorded_paths()) or [_made_up(number) for number in range(100_000)]
    return chain(recorded, (f"round-{turn}/{path}" for turn in count(2) for path in recorded))


def _recorded_paths() -> Iterator[str]:
    for file in sorted((CORPUS / "skeleton").glob("*.jsonl.gz")):
        with gzip.open(file, "rb") as lines:
            next(lines)
            yield from (f"{file.name[:6]}/{orjson.loads(line)['path']}" for line in lines)


def _made_up(number: int) -> str:
    subject = f"sub-{number // 40:04d}"
    return f"{subject}/ses-{number // 8:05d}/{subject}_ses-{number // 8:05d}_run-{number % 8}_ecephys+ogen.nwb"
