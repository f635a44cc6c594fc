"""Derives the facets of dandisets and assets from their metadata, by the rules of `docs/facets.md`.

Pure, and never fails: what cannot be read is null, and a problem says what it was. Text is compared in the form of
rule N2; what was written is kept beside it.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from dandi_pipeline.canonical import ExactNumber
from dandi_pipeline.instants import spelled, written_moment
from dandi_pipeline.model import Column, Facets, Key, Shared
from dandi_pipeline.text import is_storable, storable

Json = Mapping[str, Any]
Problems = list[tuple[str, str, str | None]]
"""Fields that cannot be read: the path, what is wrong, and the beginning of what was written."""

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_OBO = re.compile(r"https?://purl\.obolibrary\.org/obo/")
_TERM = re.compile(r"([A-Za-z][A-Za-z0-9]*)[_:]([A-Za-z0-9]+)")
_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dXx]", re.ASCII)
_DOI = re.compile(r"10\.\d{4,9}/[^\s?#]+")
_AWARD = re.compile(r"([A-Z]\d\d|[A-Z][A-Z]\d)([A-Z]{2}\d{5,6})(?!\d)")
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_N = r"(-?\d+(?:\.\d+)?)"
_DURATION = re.compile(
    rf"P(?=.)(?:{_N}Y)?(?:{_N}M)?(?:{_N}W)?(?:{_N}D)?(?:T(?=.)(?:{_N}H)?(?:{_N}M)?(?:{_N}S)?)?", re.ASCII
)
_DAYS = (365.25, 30.4375, 7.0, 1.0, 1 / 24, 1 / 1440, 1 / 86400)
_BIRTH = "dandi:BirthReference"
_VIDEO = frozenset(["avi", "mp4", "mkv", "mov", "wmv", "m4v", "mpg", "mpeg", "webm"])
LARGEST = 2**53
"""Bytes and counts beyond this are no real ones; sums of what is below fit into 64 bits."""
LONGEST_DIGEST = 500
_EXCERPT = 200


# The rules for single values


def plain(value: Any) -> str | None:
    """Return text in the form in which it is compared (N2); None for what is no text, or empty then."""
    if not isinstance(value, str):
        return None
    if value.isascii():
        return (" ".join(value.split()) or None) if "\0" not in value else None
    if not is_storable(value):
        return None
    return " ".join(unicodedata.normalize("NFC", value).translate(_INVISIBLE).split()) or None


def folded(text: str | None) -> str | None:
    """Return plain text case-folded."""
    return None if text is None else text.casefold()


def original(value: Any) -> str | None:
    """Return text as it was written, None for what is no text or what no database can hold."""
    return value if isinstance(value, str) and is_storable(value) else None


def term(value: Any) -> str | None:
    """Return an ontology id as PREFIX:LOCAL (N3), or the text as it is."""
    text = plain(value)
    if text is None:
        return None
    match = _TERM.fullmatch(text[found.end() :] if (found := _OBO.match(text)) else text)
    if match is None:
        return text
    prefix = match[1].upper()
    return f"{'NCBITaxon' if prefix == 'NCBITAXON' else prefix}:{match[2]}"


def items(value: Any) -> list[Any]:
    """Return a list's items (N5): nothing for null, one for a single value; `{}` and null do not count."""
    if value is None:
        return []
    return [item for item in (value if isinstance(value, list) else [value]) if item is not None and item != {}]


def age_in_days(value: Any, reference: Any) -> tuple[float | None, float | None]:
    """Return the bounds of an age (N7), None for a bound that is open or cannot be read."""
    if not isinstance(value, str) or plain(reference) not in (None, _BIRTH):
        return None, None
    if "/" not in value:
        days = _duration(value)
        return days, days
    sides = value.split("/", 1)
    bounds = [_duration(side) if side else None for side in sides]
    if any(side and bound is None for side, bound in zip(sides, bounds, strict=True)):
        return None, None
    return bounds[0], bounds[1]


def moment(value: Any) -> datetime | None:
    """Return an instant in UTC, which is also what one without a zone is in (N8); None for what is none."""
    try:
        return written_moment(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def awards(value: Any) -> list[str]:
    """Return the NIH awards that a text names (N13), each once."""
    if not isinstance(value, str):
        return []
    return list(dict.fromkeys(map("".join, _AWARD.findall("".join(value.upper().split())))))


def doi(*texts: Any) -> str | None:
    """Return the first DOI of the first text that has one (N6)."""
    for text in texts:
        if isinstance(text, str) and (match := _DOI.search(text)) and is_storable(match[0]):
            return match[0].rstrip(".,;)").lower()
    return None


def extension(path: str) -> str | None:
    """Return what follows the last dot of a file's name, in lower case (N12)."""
    _, dot, ending = path.rsplit("/", 1)[-1].rpartition(".")
    return ending.lower() if dot else None


def whole_number(value: Any) -> int | None:
    """Return a count or a number of bytes, None for what is none."""
    if isinstance(value, ExactNumber):
        value = _fraction(value.text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST else None


def _fraction(text: str) -> float | None:
    """Return a number that is written as no Python number would be (`1e3`)."""
    try:
        return float(text)
    except ValueError:
        return None


# Assets


def asset_facets(key: Key, columns: Mapping[str, Column], metadata: Any) -> Facets:
    """Return an asset's facets: its file, its profile, and who and what it was recorded from, and when."""
    metadata = _object(metadata)
    problems: Problems = []
    get = metadata.get
    profile = _memo(_profile, (get("variableMeasured"), get("approach"), get("measurementTechnique")), problems)
    return {
        "asset_files": ((*_file(key[1], columns, metadata, problems), profile),),
        "asset_participants": _memo(_participants, get("wasAttributedTo"), problems),
        "asset_samples": _memo(_samples, get("wasDerivedFrom"), problems),
        "asset_sessions": _memo(_sessions, get("wasGeneratedBy"), problems),
        "asset_problems": problems,
    }


def _file(path: str, columns: Mapping[str, Column], metadata: Json, problems: Problems) -> tuple[Any, ...]:
    encoding, told = metadata.get("encodingFormat"), metadata.get("contentSize")
    digest = metadata.get("digest")
    sha256 = digest.get("dandi:sha2-256") if isinstance(digest, dict) else None
    if sha256 is not None and not (isinstance(sha256, str) and len(sha256) <= LONGEST_DIGEST and is_storable(sha256)):
        problems.append(_problem("digest.dandi:sha2-256", "is no digest", sha256))
        sha256 = None
    size = whole_number(columns.get("size"))
    if size is None:
        problems.append(_problem("size", "is no number of bytes", columns.get("size")))
    if told is not None and told != size and whole_number(told) is None:
        problems.append(_problem("contentSize", "is no number of bytes", told))
    ending = extension(path)
    video = ending in _VIDEO or (isinstance(encoding, str) and encoding.startswith("video/"))
    return columns.get("asset_id"), size, original(encoding), ending, int(video), sha256 or None


def _participants(value: Any, problems: Problems) -> tuple[tuple[Shared, int, int], ...]:
    """Return each entry once, with whether it is the asset's first of its subject, and with it of its species."""
    entries = dict.fromkeys(_participant(entry, problems) for entry in _objects(value, "wasAttributedTo", problems))
    seen: set[Any] = {None}
    found = []
    for participant in entries:
        subject, taxon = participant.values[0], participant.values[_TAXON] if participant.values[0] else None
        found.append((participant, int(subject not in seen), int(taxon not in seen)))
        seen |= {subject, taxon}
    return tuple(found)


_TAXON = 2
"""The place of the taxon among a participant's values."""


def _participant(entry: Json, problems: Problems) -> Shared:
    where = "wasAttributedTo[]"
    subject = _text(entry, "identifier", where, problems)
    species, sex = (_part(entry, name, where, problems) for name in ("species", "sex"))
    age = _part(entry, "age", where, problems)
    told_age = age.get("value")
    reference = age.get("valueReference")
    reference = reference.get("value") if isinstance(reference, dict) else reference
    reference = reference if reference is None or isinstance(reference, str) else str(type(reference).__name__)
    youngest, oldest = age_in_days(told_age, reference)
    if told_age not in (None, "", [], {}) and youngest is oldest is None and plain(reference) in (None, _BIRTH):
        problems.append(_problem(f"{where}.age.value", "is no age", told_age))
    genotype = _text(entry, "genotype", where, problems)
    return Shared(
        "participants",
        (
            Shared("subject_keys", (subject,)) if subject else None,
            original(entry.get("identifier")),
            term(species.get("identifier")),
            original(species.get("identifier")),
            _text(species, "name", f"{where}.species", problems),
            _text(sex, "name", f"{where}.sex", problems),
            original(sex.get("name")),
            youngest,
            oldest,
            original(told_age),
            original(reference),
            genotype,
            folded(genotype),
            original(entry.get("genotype")),
            _text(_part(entry, "strain", where, problems), "name", f"{where}.strain", problems)
            if "strain" in entry
            else None,
        ),
    )


def _sessions(value: Any, problems: Problems) -> tuple[tuple[Any, ...], ...]:
    found: dict[tuple[Any, ...], None] = {}
    for entry in _objects(value, "wasGeneratedBy", problems):
        if entry.get("schemaKey") == "Session":
            found[_session(entry, problems)] = None
    return tuple(found)


def _session(entry: Json, problems: Problems) -> tuple[Any, ...]:
    where = "wasGeneratedBy[]"
    start, started = original(entry.get("startDate")), moment(entry.get("startDate"))
    if entry.get("startDate") not in (None, "") and started is None:
        problems.append(_problem(f"{where}.startDate", "is no instant", entry.get("startDate")))
    identifier = plain(entry.get("identifier"))
    name = _text(entry, "name", where, problems)
    return (
        identifier if identifier != name else None,
        name,
        start[:10] if plain(start) and start else None,
        _instant(started),
        start,
    )


def _samples(value: Any, problems: Problems) -> tuple[tuple[Any, ...], ...]:
    found: dict[tuple[Any, ...], None] = {}
    for entry in _at_any_depth(value):
        if entry.get("schemaKey") == "BioSample":
            kind = _part(entry, "sampleType", "wasDerivedFrom[]", problems)
            sample = _text(entry, "identifier", "wasDerivedFrom[]", problems)
            named = _text(kind, "name", "wasDerivedFrom[].sampleType", problems)
            found[sample, named, original(entry.get("identifier")), original(kind.get("name"))] = None
    return tuple(found)


def _profile(value: tuple[Any, Any, Any], problems: Problems) -> Shared:
    variables, approaches, techniques = value
    return Shared(
        "profiles",
        (),
        (
            ("profile_variables", _named(variables, "variableMeasured", "value", problems)),
            ("profile_approaches", _named(approaches, "approach", "name", problems)),
            ("profile_techniques", _named(techniques, "measurementTechnique", "name", problems)),
        ),
    )


def _named(value: Any, field: str, name: str, problems: Problems) -> tuple[tuple[str, str], ...]:
    """Return each plain text once, with what was written first for it; sorted, so that equal profiles are one."""
    found: dict[str, str] = {}
    for entry in _objects(value, field, problems):
        text = _text(entry, name, f"{field}[]", problems)
        if text is not None:
            found.setdefault(text, entry[name])
    return tuple(sorted(found.items()))


# Versions of dandisets


def version_facets(key: Key, columns: Mapping[str, Column], metadata: Any) -> Facets:
    """Return the facets of a version: who made it, of what, by which rights, and what the archive says of it."""
    metadata = _object(metadata)
    problems: Problems = []
    people = list(_objects(metadata.get("contributor"), "contributor", problems))
    return {
        "version_facets": [_version(key[0], columns, metadata, problems)],
        "contributors": [_contributor(person, problems) for person in people],
        "contributor_roles": list(_roles(people, problems)),
        "contributor_affiliations": list(_affiliations(people, problems)),
        "contributor_awards": list(_contributor_awards(people, problems)),
        "about": [_about(entry, problems) for entry in _objects(metadata.get("about"), "about", problems)],
        "related_resources": [
            _resource(entry, problems)
            for entry in _objects(metadata.get("relatedResource"), "relatedResource", problems)
        ],
        "keywords": list(_keywords(metadata.get("keywords"), problems)),
        "licences": list(_licences(metadata.get("license"), problems)),
        "access_requirements": list(_access(metadata.get("access"), problems)),
        "data_standards": list(_standards(_part(metadata, "assetsSummary", "", problems), problems)),
        "version_problems": problems,
    }


def _version(version: str, columns: Mapping[str, Column], metadata: Json, problems: Problems) -> tuple[Any, ...]:
    summary = _object(metadata.get("assetsSummary"))
    told = [_count(summary, f"numberOf{name}", problems) for name in ("Files", "Bytes", "Subjects")]
    published = None
    if _RELEASE.fullmatch(version) and columns.get("asset_count") is not None:
        stated = metadata.get("datePublished")
        published = moment(stated)
        if published is None and plain(stated) is not None:
            problems.append(_problem("datePublished", "is no instant", stated))
        published = published or moment(columns.get("created"))
    return (
        _text(metadata, "name", "", problems),
        _text(metadata, "description", "", problems),
        _instant(published),
        None if published is None else published.year,
        *told,
        original(metadata.get("schemaVersion")),
    )


def _count(summary: Json, name: str, problems: Problems) -> int | None:
    value = summary.get(name)
    found = whole_number(value)
    if value is not None and found is None:
        problems.append(_problem(f"assetsSummary.{name}", "is no count", value))
    return found


def _contributor(entry: Json, problems: Problems) -> tuple[Any, ...]:
    where = "contributor[]"
    name = _text(entry, "name", where, problems)
    identifier = entry.get("identifier")
    orcid = None
    if entry.get("schemaKey") == "Person" and isinstance(identifier, str) and (match := _ORCID.search(identifier)):
        orcid = match[0].upper()
    return (
        plain(entry.get("schemaKey")),
        (orcid or folded(name)) if entry.get("schemaKey") == "Person" else None,
        name,
        original(entry.get("name")),
        orcid,
        original(identifier),
        _text(entry, "email", where, problems),
        original(entry.get("awardNumber")),
    )


def _roles(people: list[Json], problems: Problems) -> Iterator[tuple[Any, ...]]:
    for number, person in enumerate(people):
        for told, role in _texts(person.get("roleName"), "contributor[].roleName", problems):
            yield number, role.removeprefix("dcite:"), told


def _affiliations(people: list[Json], problems: Problems) -> Iterator[tuple[Any, ...]]:
    where = "contributor[].affiliation"
    for number, person in enumerate(people):
        for entry in _objects(person.get("affiliation"), where, problems):
            name = _text(entry, "name", f"{where}[]", problems)
            yield number, name, original(entry.get("name")), original(entry.get("identifier"))


def _contributor_awards(people: list[Json], problems: Problems) -> Iterator[tuple[Any, ...]]:
    for number, person in enumerate(people):
        told = person.get("awardNumber")
        if told is not None and not isinstance(told, str):
            problems.append(_problem("contributor[].awardNumber", "is no text", told))
        for award in awards(told):
            yield number, award, original(told)


def _about(entry: Json, problems: Problems) -> tuple[Any, ...]:
    name = _text(entry, "name", "about[]", problems)
    _text(entry, "identifier", "about[]", problems)
    return (
        plain(entry.get("schemaKey")),
        term(entry.get("identifier")),
        original(entry.get("identifier")),
        name,
        folded(name),
        original(entry.get("name")),
    )


def _resource(entry: Json, problems: Problems) -> tuple[Any, ...]:
    for name in ("identifier", "url"):
        _text(entry, name, "relatedResource[]", problems)
    relation = plain(entry.get("relation"))
    return (
        doi(entry.get("identifier"), entry.get("url")),
        relation.removeprefix("dcite:") if relation else None,
        original(entry.get("relation")),
        _text(entry, "name", "relatedResource[]", problems),
        original(entry.get("identifier")),
        original(entry.get("url")),
    )


def _keywords(value: Any, problems: Problems) -> Iterator[tuple[Any, ...]]:
    for told, keyword in _texts(value, "keywords", problems):
        yield keyword, folded(keyword), told


def _licences(value: Any, problems: Problems) -> Iterator[tuple[Any, ...]]:
    for told, licence in _texts(value, "license", problems):
        yield licence.removeprefix("spdx:"), told


def _access(value: Any, problems: Problems) -> Iterator[tuple[Any, ...]]:
    for entry in _objects(value, "access", problems):
        status = plain(entry.get("status"))
        told = entry.get("embargoedUntil")
        until = moment(told)
        if plain(told) is not None and until is None:
            problems.append(_problem("access[].embargoedUntil", "is no instant", told))
        yield status.removeprefix("dandi:") if status else None, _instant(until), original(told)


def _standards(summary: Json, problems: Problems) -> Iterator[tuple[Any, ...]]:
    where = "assetsSummary.dataStandard"
    for entry in _objects(summary.get("dataStandard"), where, problems):
        yield _text(entry, "name", f"{where}[]", problems), original(entry.get("identifier"))


# Reading


_MEMORY: dict[Any, dict[bytes, tuple[Any, Problems]]] = {}
_MOST_REMEMBERED = 10_000


def _memo(derive: Any, value: Any, problems: Problems) -> Any:
    """Return what a function derives from a value, and add its problems; neighbours say the same again and again."""
    if not value:
        return derive(value, problems)
    try:
        key = orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return derive(value, problems)
    memory = _MEMORY.setdefault(derive, {})
    known = memory.get(key)
    if known is None:
        found: Problems = []
        known = derive(value, found), found
        if len(memory) >= _MOST_REMEMBERED:
            memory.clear()
        memory[key] = known
    if known[1]:
        problems += known[1]
    return known[0]


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _part(entry: Json, name: str, where: str, problems: Problems) -> Json:
    """Return an object within an object, `{}` for what is none."""
    value = entry.get(name)
    if value not in (None, []) and not isinstance(value, dict):
        problems.append(_problem(f"{where}.{name}".lstrip("."), "is no object", value))
    return _object(value)


def _objects(value: Any, where: str, problems: Problems) -> Iterator[Json]:
    for item in items(value):
        if isinstance(item, dict):
            yield item
        else:
            problems.append(_problem(f"{where}[]", "is no object", item))


def _texts(value: Any, where: str, problems: Problems) -> Iterator[tuple[str, str]]:
    """Yield the texts of a list as written and plain, each plain text once."""
    seen = set()
    for item in items(value):
        text = plain(item)
        if text is None and item != "":
            problems.append(_problem(f"{where}[]", "is no text", item))
        if text is not None and text not in seen:
            seen.add(text)
            yield item, text


def _text(entry: Json, name: str, where: str, problems: Problems) -> str | None:
    value = entry.get(name)
    if value is not None and original(value) is None and value not in ([], {}):
        problems.append(_problem(f"{where}.{name}".lstrip("."), "is no text", value))
    return plain(value)


def _at_any_depth(value: Any) -> Iterator[Json]:
    """Yield every object in a value, outermost first, however deep it is nested."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += reversed(list(found.values()))
        elif isinstance(found, list):
            waiting += reversed(found)


def _duration(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    days = math.fsum(float(number) * each for number, each in zip(match.groups(), _DAYS, strict=True) if number)
    return days if math.isfinite(days) else None


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else spelled(moment)


def _problem(field: str, what: str, value: Any) -> tuple[str, str, str | None]:
    """Return a problem with the beginning of what was written."""
    told = value if isinstance(value, str) else type(value).__name__
    if isinstance(value, int) and not isinstance(value, bool):
        told = f"{value:.6e}" if abs(value) < 2**1000 else "an integer of more than 300 digits"
    return field, what, storable(told[:_EXCERPT])
