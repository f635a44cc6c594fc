"""Makes up archives whose metadata holds every oddity that rules N1 to N16 name, as recordings of public metadata.

Much is as odd in the real archive (its zero-width spaces, negative ages, ORCIDs as URLs); some has only been possible
in its schema's history (single objects where lists belong).
"""

import gzip
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from dandi_pipeline_tests.simulators.dandi.corpus import corpus_world
from dandi_pipeline_tests.simulators.dandi.history import Step
from dandi_pipeline_tests.simulators.dandi.records import as_instant
from dandi_pipeline_tests.simulators.dandi.world import World

Json = dict[str, Any]

IDENTIFIERS = ("000003", "000008", "000026", "000148", "000409", "000559", "000728", "001001")
AT = "2024-05-01T12:00:00.000000Z"

AGES = (
    *("P70D", "P56D", "P84D", "P8W/P12W", "P10W", "P90D", "P60D/P80D", "P60DT0H0M0S", "P56DT1S", "P80D/P60D"),
    *("P10220.0D", "P147DT82800S", "P-24DT9418.743917S", "P-217DT3600S", "P1Y2M", "P2M", "PT1M", "PT24H30M1.5S"),
    *("P60D/", "/P84D", "P60D/old", "young/P84D", "/", "P", "PT", "P1DT", "P1D2W", "p60d", "P60", " P60D", "P1.D"),
    *("about 3 months", "", "P60D/P70D/P80D", "P+5D", "P.5D", "P1,5D", "P٣D", None, 60, ["P60D"]),
)
REFERENCES: tuple[Any, ...] = (
    *(None, None, None, {}, {"schemaKey": "PropertyValue", "value": "dandi:BirthReference"}),
    *({"value": "dandi:GestationalReference"}, {"schemaKey": "PropertyValue"}),
)
TAXA = (
    *("http://purl.obolibrary.org/obo/NCBITaxon_10090", "https://purl.obolibrary.org/obo/NCBITaxon_10090"),
    *(
        "NCBITaxon:10090",
        "NCBITAXON_10090",
        "ncbitaxon:9606",
        "NCBITaxon_9606",
        " NCBITaxon:9606\u200b",
        "NCBITaxon:7227",
    ),
    *("http://purl.obolibrary.org/obo/NCBITaxon:10116", "http://purl.obolibrary.org/obo/not a term", "_10090", "10090"),
    *("NCBITaxon:10090 ", "ftp://purl.obolibrary.org/obo/NCBITaxon_10090", "", None, "NCBITaxon::9606", "x-y:1"),
)
NAMES = (
    "Ada",
    " Ada ",
    "A\u200bda",
    "Zo\u00eb",
    "Zoe\u0308",
    "s\t1\n2",
    "",
    "\ufeff",
    "É",
    "z",
    "Z",
    "_",
    "\U0001f42d",
    "m-7",
    None,
)
VARIABLES = (
    "LFP",
    "Units",
    "ElectricalSeries",
    " LFP",
    "Un\u200dits",
    "lfp",
    "",
    "PatchClampSeries",
    "\u017d",
    "a",
    "B",
    None,
)
APPROACHES = ("electrophysiological approach", "electrophysiological  approach", "behavioral approach", "")
GENOTYPES = (
    *("Sst-IRES-Cre/wt", "SST-ires-CRE/wt", " Sst-IRES-Cre/wt", "wt/wt", "Vip-cre", "Vip_Cre", "", None),
    *("Ai32-\u212are", "PV\u2010Cre", "x-\u200bcre", "stra\u00dfe-CRE"),
)
SEXES = ("Male", "Female", "Unknown", "Other", " Male", "", None)
STARTS = (
    *("2024-01-{:02d}T01:00:00+09:00", "2024-01-{:02d}", "2024-01-{:02d}T23:30:00Z", "2024-02-{:02d}T10:00:00"),
    *("", None, "in 2024-01-{:02d}"),
)
PATHS = (
    *(
        "sub-{0}/a_{1}.nwb",
        "sub-{0}/v_{1}.AVI",
        "v_{1}.mp4",
        "sub-{0}.avi/none_{1}",
        "x_{1}.avi.nwb",
        "dir.mkv/.webm{1}",
    ),
    *("sub-{0}/\u00e9_{1}.mov", "noext_{1}", "dots_{1}..Mp4"),
)
ENCODINGS = ("application/x-nwb", "video/x-msvideo", "Video/avi", "application/octet-stream", None)
AWARDS = (
    *("1 R01 NS 123887-01", "R01NS123887", "U19 NS104590; U01MH114812", "D16PC00003", "R01NS1234567", "none", "", None),
    *("rf1mh\u00a0120034", "R01NS123887 and 5R01NS123887-02"),
)
DOIS = (
    *("doi:10.1038/Nature11129", "https://doi.org/10.1038/nature11129.", "10.1016/j.neuron.2010.09.015);", "10.12/x"),
    *("https://doi.org/10.1038/nature11129?via=x", "10.1101/2020.01.01#v2", "", None, "see 10.7554/eLife.1234, and"),
)
ORCIDS = (
    *("0000-0002-3100-4800", "https://orcid.org/0000-0002-3100-4800", "http://orcid.org/0000-0001-5109-371x"),
    *("0000-0001-5109-371X", "orcid", "", None, "0000-0002-3100-480"),
)
PEOPLE = (
    "Svoboda, Karel",
    "SVOBODA,  Karel",
    "Buzs\u00e1ki, Gy\u00f6rgy",
    "Buzsa\u0301ki, Gyo\u0308rgy",
    "Stra\u00dfe, A",
    "STRASSE, A",
    "",
)
ABOUT: tuple[Any, ...] = (
    *(
        {"identifier": "http://purl.obolibrary.org/obo/UBERON_0002421", "name": "Hippocampus"},
        {"name": "hippoCAMPal CA1 "},
    ),
    *({"identifier": "uberon:0002421"}, {"identifier": "UBERON:0001954", "name": "thalamus"}, {}, {"identifier": None}),
    *({"name": "Z hippocampus", "identifier": ""}, {"name": "a hippocampus"}),
)


def write_odd_corpus(folder: Path, seed: int, *, assets: int = 40) -> None:
    """Write recordings of an archive; a third of the dandisets of every other one share the first one's files."""
    chance = random.Random(seed)
    (folder / "latest").mkdir(parents=True)
    digests = [chance.randbytes(32).hex() for _ in range(30)]
    for identifier in IDENTIFIERS:
        count = 0 if identifier == "000026" else assets
        rows = [asset_row(chance, number, digests) for number in range(count)]
        header = {
            "identifier": identifier,
            "state": {"at": AT},
            "dandiset": dandiset_metadata(chance, identifier, rows),
            "versions": list(_versions(chance, identifier)),
        }
        lines = b"\n".join(map(orjson.dumps, (header, *rows)))
        (folder / "latest" / f"{identifier}.jsonl.gz").write_bytes(gzip.compress(lines, 1))


def odd_world(folder: Path, seed: int, *, assets: int = 40) -> World:
    """Return such an archive; `folder` takes its recordings."""
    write_odd_corpus(folder, seed, assets=assets)
    return corpus_world(folder, seed=seed)


def edit(world: World, chance: random.Random) -> str:
    """Make one random edit; return the dandiset that it changed."""
    identifier = chance.choice(IDENTIFIERS)
    held = list(world.dandisets[identifier].draft.assets.values())
    digests = [chance.randbytes(32).hex() for _ in range(3)]
    digests += [digest for asset in held[:20] if (digest := asset.metadata["digest"].get("dandi:sha2-256"))]
    gone = [asset.asset_id for asset in chance.sample(held, min(len(held), chance.randint(0, 4)))]
    new = [asset_row(chance, 10**6 + chance.randrange(10**6), digests) for _ in range(chance.randint(0, 5))]
    if gone and chance.random() < 0.5:
        # An edit in place: a new asset at the path of one that goes.
        path = world.assets[gone[0]].path
        replaced = asset_row(chance, 0, digests)
        new.append({**replaced, "path": path, "metadata": {**replaced["metadata"], "path": path}})
    metadata = dandiset_metadata(chance, identifier, new) if chance.random() < 0.4 or not (gone or new) else None
    world.apply_history_step(identifier, Step(as_instant(AT), metadata, new, gone))
    return identifier


def asset_row(chance: random.Random, number: int, digests: list[str]) -> Json:
    asset_id = str(uuid.UUID(int=chance.getrandbits(128)))
    path = chance.choice(PATHS).format(chance.randrange(4), number)
    zarr = chance.random() < 0.08
    digest = {"dandi:dandi-zarr-checksum": "x-1--1"} if zarr else {"dandi:sha2-256": chance.choice(digests)}
    # Files that are the same have the same size.
    size = 1_000 + int.from_bytes(digest.get("dandi:sha2-256", "00").encode()[:5], "big") % 10**11
    metadata = {
        "schemaKey": "Asset",
        "schemaVersion": "0.6.4",
        "identifier": asset_id,
        "path": path,
        "contentSize": size,
        "digest": digest,
        "encodingFormat": chance.choice(ENCODINGS),
        **_given(chance, "wasAttributedTo", _participant),
        **_given(chance, "wasGeneratedBy", _session),
        **_given(chance, "wasDerivedFrom", _sample),
        **_given(chance, "variableMeasured", lambda c: {"schemaKey": "PropertyValue", "value": c.choice(VARIABLES)}),
        **_given(chance, "approach", lambda c: {"name": c.choice(APPROACHES)}),
        **_given(chance, "measurementTechnique", lambda c: {"name": c.choice(APPROACHES)}),
    }
    return {
        "asset_id": asset_id,
        "path": path,
        "size": size,
        "created": AT,
        "modified": AT,
        "blob": None if zarr else str(uuid.UUID(int=chance.getrandbits(128))),
        "zarr": str(uuid.UUID(int=chance.getrandbits(128))) if zarr else None,
        "metadata": metadata,
    }


def _given(chance: random.Random, field: str, make: Any) -> Json:
    """Return a field as a list of up to three, as a single object, as null, empty, or absent."""
    kind = chance.random()
    if kind < 0.08:
        return {}
    if kind < 0.16:
        return {field: chance.choice([None, [], {}, [{}], [None]])}
    if kind < 0.3:
        return {field: make(chance)}
    made = [make(chance) for _ in range(chance.randint(1, 4))]
    return {field: [*made, {}] if kind < 0.4 else made}


def _participant(chance: random.Random) -> Json:
    identifier = chance.choice(NAMES) if chance.random() < 0.3 else f"m{chance.randrange(16)}"
    taxon = chance.choice(TAXA[:3] if chance.random() < 0.6 else TAXA)
    return {
        "schemaKey": "Participant",
        "identifier": identifier,
        "species": chance.choice([{"name": "House mouse", "identifier": taxon}] * 9 + [None]),
        "sex": {"schemaKey": "SexType", "name": chance.choice(SEXES)},
        "age": {"value": chance.choice(AGES), "valueReference": chance.choice(REFERENCES)},
        "genotype": chance.choice(GENOTYPES),
    }


def _session(chance: random.Random) -> Json:
    start = chance.choice(STARTS)
    return {
        "schemaKey": chance.choice(["Session", "Session", "Session", "Activity"]),
        "name": "session",
        "startDate": start.format(chance.randint(1, 28)) if start else start,
    }


def _sample(chance: random.Random, depth: int = 0) -> Json:
    sample: Json = {
        "schemaKey": chance.choice(["BioSample", "BioSample", "Asset"]),
        "identifier": chance.choice([*NAMES, *(f"s{number}" for number in range(8))]),
        "sampleType": chance.choice([{"name": "cell"}, {"name": " cell"}, {"name": "Slice"}, {"name": ""}, None]),
    }
    if depth < 3 and chance.random() < 0.5:
        sample["wasDerivedFrom"] = chance.choice([[_sample(chance, depth + 1)], _sample(chance, depth + 1), []])
    return sample


def dandiset_metadata(chance: random.Random, identifier: str, rows: list[Json]) -> Json:
    summary = {
        "numberOfFiles": chance.choice([len(rows), len(rows) + 1, None]),
        "numberOfBytes": sum(row["size"] for row in rows) + chance.choice([0, 0, 1]),
        "numberOfSubjects": chance.choice([None, 0, 3]),
    }
    return {
        "schemaKey": "Dandiset",
        "identifier": f"DANDI:{identifier}",
        "name": f"Dandiset {identifier}",
        "dateCreated": "2020-03-15T22:56:55.655000+00:00",
        "license": chance.choice([["spdx:CC-BY-4.0"]] * 4 + ["spdx:CC-BY-4.0", ["spdx:CC0-1.0"], [], None, [""]]),
        "assetsSummary": {name: value for name, value in summary.items() if value is not None or chance.random() < 0.5},
        **_given(chance, "contributor", _contributor),
        **_given(chance, "about", lambda c: c.choice(ABOUT)),
        **_given(chance, "relatedResource", _resource),
        "keywords": chance.choice([["Hippocampus"], "one", None, []]),
    }


def _contributor(chance: random.Random) -> Json:
    return {
        "schemaKey": chance.choice(["Person", "Person", "Organization"]),
        "name": chance.choice(PEOPLE),
        "identifier": chance.choice([*ORCIDS, *ORCIDS[:2] * 3]),
        "email": chance.choice(["someone@example.org", "", " ", None]),
        "roleName": chance.choice(
            [["dcite:ContactPerson", "dcite:Author"], "dcite:ContactPerson", [], None, ["ContactPerson"]]
        ),
        "awardNumber": chance.choice(AWARDS),
    }


def _resource(chance: random.Random) -> Json:
    return {"identifier": chance.choice(DOIS), "url": chance.choice(DOIS), "relation": "dcite:IsDescribedBy"}


def _versions(chance: random.Random, identifier: str) -> Iterator[Json]:
    for number in range(chance.randint(0, 4)):
        year = 21 + number
        told = chance.choice([f"20{year}-12-31T23:30:00-02:00", f"20{year}-06-01T10:00:00.5", None])
        yield {
            "version": f"0.{year}1231.{2330 + number}" if number < 3 else "1.0-beta",
            "tagged_at": f"20{year}-03-01T00:00:00Z",
            "asset_count": chance.choice([5, 12, 0, None]),
            "dandiset": {"name": f"Dandiset {identifier}"} | ({"datePublished": told} if told else {}),
        }
