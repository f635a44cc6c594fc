"""Fills a world with made-up but believable dandisets, the same ones for the same seed."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from dandi_pipeline_tests.simulators.clock import Clock

from .world import World

STARTED = datetime(2024, 3, 11, 14, 2, 51, 123456, tzinfo=timezone.utc)

_SPECIES = [
    ("Mus musculus - House mouse", "http://purl.obolibrary.org/obo/NCBITaxon_10090"),
    ("Rattus norvegicus - Norway rat", "http://purl.obolibrary.org/obo/NCBITaxon_10116"),
    ("Macaca mulatta - Rhesus monkey", "http://purl.obolibrary.org/obo/NCBITaxon_9544"),
    ("Homo sapiens - Human", "http://purl.obolibrary.org/obo/NCBITaxon_9606"),
]
_SEXES = [("Male", "PATO_0000384"), ("Female", "PATO_0000383"), ("Unknown", None)]
_TOPICS = ["Granule cells", "Place fields", "Naïve motor learning", "海馬 theta sequences", "Übergang of sleep states"]
_REGIONS = ["dentate gyrus", "CA1", "motor cortex", "thalamus", "señal olfactory bulb"]
_PEOPLE = ["Buzsáki, György", "Svoboda, Karel", "Nowak, Łucja", "Halchenko, Yaroslav", "山田, 花子"]
_MODALITIES = ["ecephys", "behavior+ecephys", "icephys", "image", "behavior+image+ogen"]
_APPROACHES = ["electrophysiological approach", "behavioral approach", "optogenetic approach"]


def generated_world(
    *,
    dandisets: int = 12,
    assets: int = 20,
    large: int = 0,
    seed: int = 0,
    clock: Clock | None = None,
    digested: bool = False,
) -> World:
    """Return an archive of `dandisets` dandisets with about `assets` assets each.

    Among every six: one is empty, one has zarrs, some were published one to three times. The second to last was
    never published, the last one is embargoed; with `large`, the first one has that many assets. A tenth of the
    files still lack their sha256, none if they are `digested`.
    """
    world = World(seed=seed, clock=Clock(STARTED))
    chance = random.Random(seed)
    for number in range(dandisets):
        count = large if large and not number else _asset_count(number, assets, chance)
        _add_dandiset(world, number, count, chance, embargoed=number == dandisets - 1 > 0, digested=digested)
        if number < dandisets - 2 or dandisets == 1:
            _publish(world, f"{number + 1:06d}", number % 4)
    world.clock = clock or Clock()
    return world


def _asset_count(number: int, assets: int, chance: random.Random) -> int:
    return 0 if number % 6 == 4 else chance.randint(assets // 2, assets + assets // 2)


def _add_dandiset(
    world: World, number: int, assets: int, chance: random.Random, *, embargoed: bool, digested: bool
) -> None:
    topic, region = chance.choice(_TOPICS), chance.choice(_REGIONS)
    identifier = f"{number + 1:06d}"
    world.create_dandiset(
        f"{topic} in the {region}",
        identifier=identifier,
        embargoed=embargoed,
        metadata=_dandiset_metadata(topic, region, chance),
    )
    for path in _paths(assets, chance):
        world.add_asset(
            identifier,
            path,
            size=chance.choice([chance.randint(1_000, 9_000_000), chance.randint(2**31, 2**38)]),
            metadata=_asset_metadata(path, chance),
            sha256=chance.random() > 0.1 or digested,
        )
        world.clock.advance(chance.random() * 5)
    if number % 6 == 2:
        for subject in range(2):
            path = f"sub-Z{subject}/sub-Z{subject}_sample-α_SPIM.ome.zarr"
            world.add_asset(identifier, path, size=chance.randint(10**6, 10**12), metadata=_zarr_metadata(), zarr=True)
    _tie(world, identifier)
    world.summarize_assets(identifier)
    validated = world.validate_version(identifier)
    if number % 3 == 0:
        world.rewrite_version(identifier, modified=validated.modified.replace(microsecond=0))
    world.clock.advance(chance.randint(3_600, 90_000))


def _tie(world: World, identifier: str) -> None:
    """Let two assets share their timestamps, as some do: only paths are a total order."""
    first, second, *_ = [*world.dandisets[identifier].draft.assets.values(), None, None]
    if first and second:
        world.rewrite_asset(second.asset_id, created=first.created, modified=first.modified)


def _publish(world: World, identifier: str, times: int) -> None:
    for _ in range(times):
        version = world.publish(identifier)
        world.store_doi(identifier, version.version)
        world.clock.advance(86_400)
        world.edit_dandiset(identifier, {"description": f"As of {world.clock.now():%Y-%m-%d}."})
        world.validate_version(identifier)


def _paths(count: int, chance: random.Random) -> Iterator[str]:
    for number in range(count):
        subject = f"sub-{'RYm'[number % 3]}{number // 7:03d}"
        session = f"ses-{20240000 + number}"
        yield f"{subject}/{subject}_{session}_{chance.choice(_MODALITIES)}.nwb"


def _dandiset_metadata(topic: str, region: str, chance: random.Random) -> dict[str, Any]:
    people = chance.sample(_PEOPLE, 2)
    return {
        "description": f"Recordings of {topic.lower()} from the {region}.\nSee the protocol for details.",
        "contributor": [_person(people[0], "dcite:ContactPerson"), _person(people[1], "dcite:Author")],
        "keywords": [region, "electrophysiology"],
        "protocol": [],
        "studyTarget": [],
        "about": [],
        "ethicsApproval": [],
        "relatedResource": [],
    }


def _person(name: str, role: str) -> dict[str, Any]:
    return {
        "schemaKey": "Person",
        "name": name,
        "roleName": [role],
        "includeInCitation": True,
        "affiliation": [],
    }


def _asset_metadata(path: str, chance: random.Random) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "schemaKey": "Asset",
        "encodingFormat": "application/x-nwb",
        "dateModified": (STARTED - timedelta(minutes=chance.randint(1, 10**5))).isoformat(),
        "approach": [{"schemaKey": "ApproachType", "name": chance.choice(_APPROACHES)}],
        "measurementTechnique": [{"schemaKey": "MeasurementTechniqueType", "name": "spike sorting technique"}],
        "variableMeasured": [{"schemaKey": "PropertyValue", "value": "Units"}],
        "wasGeneratedBy": [{"schemaKey": "Session", "name": path.split("_")[1], "description": ""}],
    }
    if chance.random() > 0.2:
        metadata["wasAttributedTo"] = [_participant(path.split("/")[0][4:], chance)]
    return metadata


def _participant(identifier: str, chance: random.Random) -> dict[str, Any]:
    species, taxon = chance.choice(_SPECIES)
    sex, code = chance.choice(_SEXES)
    return {
        "schemaKey": "Participant",
        "identifier": identifier,
        "species": {"schemaKey": "SpeciesType", "name": species, "identifier": taxon},
        "sex": {"schemaKey": "SexType", "name": sex}
        | ({"identifier": f"http://purl.obolibrary.org/obo/{code}"} if code else {}),
        "age": {
            "schemaKey": "PropertyValue",
            "unitText": "ISO-8601 duration",
            "value": chance.choice(["P3M", "P90D", "P10220.0D", "P3M/P6M"]),
        },
    }


def _zarr_metadata() -> dict[str, Any]:
    return {
        "schemaKey": "Asset",
        "encodingFormat": "application/x-zarr",
        "approach": [{"schemaKey": "ApproachType", "name": "microscopy approach; cell population imaging"}],
    }
