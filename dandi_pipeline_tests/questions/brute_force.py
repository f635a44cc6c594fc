"""Answers the twenty questions from raw JSON in plain Python, by rules N1 to N16 of `docs/facets.md`.

It shares nothing with the facets but the text of the rules, so that a misreading of one shows in the other.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

Json = Any
Rows = list[list[Any]]
Snapshot = Mapping[str, Mapping[str, Any]]


def answers(snapshot: Snapshot) -> dict[str, Rows]:
    """Return the rows of each question for what a perfect mirror would hold."""
    archive = {identifier: Held(dandiset) for identifier, dandiset in sorted(snapshot.items())}
    return {name: question(archive) for name, question in QUESTIONS.items()}


# Rules


def n2(value: Json) -> str | None:
    if not isinstance(value, str):
        return None
    text = unicodedata.normalize("NFC", value)
    text = re.sub("[\u200b-\u200d\u2060\ufeff]", "", text)
    return re.sub(r"\s+", " ", text).strip() or None


def fold(value: Json) -> str | None:
    text = n2(value)
    return text.casefold() if text else None


def n3(value: Json) -> str | None:
    text = n2(value)
    if not text:
        return None
    rest = re.sub(r"\Ahttps?://purl\.obolibrary\.org/obo/", "", text)
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9]*)[_:]([A-Za-z0-9]+)", rest)
    if not match:
        return text
    prefix = match.group(1).upper()
    return ("NCBITaxon" if prefix == "NCBITAXON" else prefix) + ":" + match.group(2)


def n5(value: Json) -> list[Any]:
    if value is None:
        return []
    listed = value if isinstance(value, list) else [value]
    return [item for item in listed if item not in (None, {})]


def objects(value: Json) -> list[dict[str, Any]]:
    return [item for item in n5(value) if isinstance(item, dict)]


def n4(contributor: dict[str, Any]) -> str | None:
    if contributor.get("schemaKey") != "Person":
        return None
    orcid = re.search(r"[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9Xx]", str(contributor.get("identifier") or ""))
    return orcid.group().upper() if orcid else fold(contributor.get("name"))


def n6(resource: dict[str, Any]) -> str | None:
    for key in ("identifier", "url"):
        match = re.search(r"10\.\d{4,9}/[^\s?#]+", resource.get(key) or "")
        if match:
            return match.group().rstrip(".,;)").lower()
    return None


def days(text: str) -> float | None:
    match = re.fullmatch(r"P([^T]*)(?:T(.+))?", text)
    if not match or not (match.group(1) or match.group(2)):
        return None
    total = 0.0
    for part, units in (
        (match.group(1), {"Y": 365.25, "M": 30.4375, "W": 7, "D": 1}),
        (match.group(2) or "", {"H": 1 / 24, "M": 1 / 1440, "S": 1 / 86400}),
    ):
        components = re.findall(r"(-?[0-9]+(?:\.[0-9]+)?)([A-Z])", part)
        letters = [unit for _, unit in components]
        if "".join(number + unit for number, unit in components) != part:
            return None
        if letters != [unit for unit in units if unit in letters]:
            return None
        total += sum(float(number) * units[unit] for number, unit in components)
    return total


def n7(participant: dict[str, Any]) -> tuple[float | None, float | None]:
    age = participant.get("age")
    if not isinstance(age, dict) or not isinstance(age.get("value"), str):
        return None, None
    reference = age.get("valueReference")
    if isinstance(reference, dict):
        reference = reference.get("value")
    if reference is not None and reference != "dandi:BirthReference":
        return None, None
    if "/" not in age["value"]:
        return days(age["value"]), days(age["value"])
    lower, upper = age["value"].split("/", 1)
    if (lower and days(lower) is None) or (upper and days(upper) is None):
        return None, None
    return (days(lower) if lower else None), (days(upper) if upper else None)


def n8(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)


def n12(asset: dict[str, Any]) -> bool:
    name = asset["path"].split("/")[-1]
    extension = name.split(".")[-1].lower() if "." in name else ""
    encoding = asset["metadata"].get("encodingFormat")
    return (isinstance(encoding, str) and encoding.startswith("video/")) or extension in (
        ["avi", "mp4", "mkv", "mov", "wmv", "m4v", "mpg", "mpeg", "webm"]
    )


def n13(text: Json) -> list[str]:
    squeezed = re.sub(r"\s", "", text.upper()) if isinstance(text, str) else ""
    pattern = r"([A-Z]\d\d|[A-Z][A-Z]\d)([A-Z]{2}\d{5,6})(?!\d)"
    return [code + serial for code, serial in re.findall(pattern, squeezed)]


def n16(value: Json) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from n16(item)
    elif isinstance(value, dict):
        if value.get("schemaKey") == "BioSample":
            yield value
        for item in value.values():
            yield from n16(item)


class Held:
    """One dandiset: its draft's metadata and assets, and its published versions."""

    def __init__(self, dandiset: Mapping[str, Any]) -> None:
        versions = dandiset["versions"]
        self.metadata = versions["draft"]["metadata"]
        self.assets = list(versions["draft"]["assets"].values())
        self.published = [
            n8(version["metadata"].get("datePublished") or version["created"])
            for name, version in versions.items()
            if re.fullmatch(r"\d+\.\d+\.\d+", name) and version["asset_count"] is not None
        ]
        self.contributors = objects(self.metadata.get("contributor"))

    @property
    def bytes(self) -> int:
        return sum(asset["size"] for asset in self.assets)

    def entries(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Yield each participant entry that counts: subject, entry, asset."""
        for asset in self.assets:
            for entry in objects(asset["metadata"].get("wasAttributedTo")):
                subject = n2(entry.get("identifier"))
                if subject:
                    yield subject, entry, asset

    def subjects(self) -> set[str]:
        return {subject for subject, _, _ in self.entries()}

    def licences(self) -> list[str]:
        texts = [n2(item) for item in n5(self.metadata.get("license"))]
        return [re.sub(r"\Aspdx:", "", text) for text in texts if text]

    def contacts(self) -> list[dict[str, Any]]:
        return [person for person in self.contributors if "ContactPerson" in roles(person)]


Archive = Mapping[str, Held]


def roles(person: dict[str, Any]) -> list[str]:
    texts = [n2(item) for item in n5(person.get("roleName"))]
    return [re.sub(r"\Adcite:", "", text) for text in texts if text]


def species(entry: dict[str, Any]) -> str | None:
    told = entry.get("species")
    return n3(told.get("identifier")) if isinstance(told, dict) else None


def named(asset: dict[str, Any], field: str, name: str) -> set[str]:
    texts = {n2(item.get(name)) for item in objects(asset["metadata"].get(field))}
    return {text for text in texts if text}


def variables(asset: dict[str, Any]) -> set[str]:
    return named(asset, "variableMeasured", "value")


def down(value: int) -> int:
    return -value


def last(text: str | None) -> tuple[bool, str]:
    return text is None, text or ""


# Questions


def q01(archive: Archive) -> Rows:
    rows = []
    for identifier, held in archive.items():
        human = [(s, a["path"]) for s, entry, a in held.entries() if species(entry) == "NCBITaxon:9606"]
        if human:
            rows.append([identifier, len({subject for subject, _ in human}), len({path for _, path in human})])
    return sorted(rows)


def q02(archive: Archive) -> Rows:
    found: dict[str, tuple[set[Any], set[Any], dict[Any, int]]] = defaultdict(lambda: (set(), set(), {}))
    for identifier, held in archive.items():
        for subject, entry, asset in held.entries():
            if taxon := species(entry):
                dandisets, subjects, assets = found[taxon]
                dandisets.add(identifier)
                subjects.add((identifier, subject))
                assets[identifier, asset["path"]] = asset["size"]
    rows: Rows = [[taxon, len(d), len(s), len(a), sum(a.values())] for taxon, (d, s, a) in found.items()]
    return sorted(rows, key=lambda row: (down(row[1]), row[0]))


def q03(archive: Archive) -> Rows:
    rows: Rows = [
        [identifier, sum({"LFP", "Units"} <= variables(asset) for asset in held.assets)]
        for identifier, held in archive.items()
    ]
    return sorted((row for row in rows if row[1]), key=lambda row: (down(row[1]), row[0]))


def q04(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        recorded = defaultdict(set)
        for subject, _, asset in held.entries():
            if "ElectricalSeries" in variables(asset):
                recorded[subject].add(asset["path"])
        rows.append([identifier, sum(len(paths) >= 3 for paths in recorded.values())])
    return sorted((row for row in rows if row[1] >= 3), key=lambda row: (down(row[1]), row[0]))


def q05(archive: Archive) -> Rows:
    counts = defaultdict(list)
    for identifier, held in archive.items():
        for asset in held.assets:
            for variable in variables(asset):
                counts[variable].append(identifier)
    rows: Rows = [[variable, len(set(found)), len(found)] for variable, found in counts.items()]
    return sorted(rows, key=lambda row: (down(row[1]), down(row[2]), row[0]))


def q06(archive: Archive) -> Rows:
    found = set()
    for identifier, held in archive.items():
        for item in objects(held.metadata.get("about")):
            told, name = n3(item.get("identifier")), n2(item.get("name"))
            if told == "UBERON:0002421" or "hippocamp" in (fold(name) or ""):
                found.add((identifier, told, name))
    return [list(row) for row in sorted(found, key=lambda row: (row[0], last(row[1]), last(row[2])))]


def q07(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        mice = {
            subject
            for subject, entry, asset in held.entries()
            if species(entry) == "NCBITaxon:10090"
            and "electrophysiological approach" in named(asset, "approach", "name")
        }
        if len(mice) > 10 and "CC-BY-4.0" in held.licences():
            rows.append([identifier, len(mice), held.bytes])
    return sorted(rows, key=lambda row: (down(row[1]), row[0]))


def q08(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        video = [asset["size"] for asset in held.assets if n12(asset)]
        if video:
            rows.append([identifier, len(video), sum(video), held.bytes - sum(video)])
    return sorted(rows, key=lambda row: (down(row[2]), row[0]))


def q09(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier in ("000008", "000148", "000559"):
        if identifier not in archive:
            continue
        told: dict[str, tuple[set[Any], list[Any], list[Any], set[Any]]] = defaultdict(lambda: (set(), [], [], set()))
        for subject, entry, asset in archive[identifier].entries():
            sexes, lower, upper, paths = told[subject]
            sex = entry.get("sex")
            sexes.add(n2(sex.get("name")) if isinstance(sex, dict) else None)
            youngest, oldest = n7(entry)
            lower.append(youngest)
            upper.append(oldest)
            paths.add(asset["path"])
        for subject, (sexes, lower, upper, paths) in told.items():
            stated = sexes - {None}
            youngest = min((age for age in lower if age is not None), default=None)
            oldest = max((age for age in upper if age is not None), default=None)
            sex = stated.pop() if len(stated) == 1 else None
            rows.append([identifier, subject, sex, youngest, oldest, len(paths)])
    return sorted(rows, key=lambda row: row[:2])


def q10(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        young = set()
        for subject, entry, asset in held.entries():
            within = [bound is not None and 56 <= bound <= 84 for bound in n7(entry)]
            if species(entry) == "NCBITaxon:10090" and all(within):
                young.add((subject, asset["path"]))
        if young:
            rows.append([identifier, len({subject for subject, _ in young}), len({path for _, path in young})])
    return sorted(rows, key=lambda row: (down(row[1]), row[0]))


def q11(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        summary = held.metadata.get("assetsSummary")
        told = summary if isinstance(summary, dict) else {}
        files, size, subjects = (told.get(f"numberOf{name}") for name in ("Files", "Bytes", "Subjects"))
        row = [identifier, files, len(held.assets), size, held.bytes, subjects, len(held.subjects())]
        if any(row[place] is not None and row[place] != row[place + 1] for place in (1, 3, 5)):
            rows.append(row)
    return sorted(rows)


def q12(archive: Archive) -> Rows:
    return _counted(archive, lambda held: {n4(person) for person in held.contributors}, at_least=5)


def q13(archive: Archive) -> Rows:
    return _counted(
        archive, lambda held: {award for person in held.contributors for award in n13(person.get("awardNumber"))}
    )


def q14(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        contacts = held.contacts()
        row = [
            identifier,
            int(not held.licences()),
            int(not contacts),
            int(not any(n2(person.get("email")) for person in contacts)),
            int(not held.assets),
        ]
        if any(row[1:]):
            rows.append(row)
    return sorted(rows)


def q15(archive: Archive) -> Rows:
    versions: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for held in archive.values():
        for moment in held.published:
            versions[moment.year][0] += 1
        if held.published:
            versions[min(held.published).year][1] += 1
    return [[year, *counts] for year, counts in sorted(versions.items())]


def q16(archive: Archive) -> Rows:
    files: dict[str, dict[str, int]] = defaultdict(dict)
    for identifier, held in archive.items():
        for asset in held.assets:
            digest = asset["metadata"].get("digest")
            sha256 = digest.get("dandi:sha2-256") if isinstance(digest, dict) else None
            if sha256:
                files[sha256][identifier] = asset["size"]
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for where in files.values():
        for a in where:
            for b in where:
                if a < b:
                    pairs[a, b].append(where[a])
    rows: Rows = [[a, b, len(sizes), sum(sizes)] for (a, b), sizes in pairs.items()]
    return sorted(rows, key=lambda row: (down(row[2]), row[0], row[1]))


def q17(archive: Archive) -> Rows:
    return _counted(
        archive, lambda held: {n6(item) for item in objects(held.metadata.get("relatedResource"))}, at_least=2
    )


def q18(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        dates = defaultdict(set)
        for subject, _, asset in held.entries():
            for session in objects(asset["metadata"].get("wasGeneratedBy")):
                start = session.get("startDate")
                if session.get("schemaKey") == "Session" and isinstance(start, str) and n2(start):
                    dates[subject].add(start[:10])
        count = sum(len(found) >= 10 for found in dates.values())
        if count:
            rows.append([identifier, count])
    return sorted(rows, key=lambda row: (down(row[1]), row[0]))


def q19(archive: Archive) -> Rows:
    rows: Rows = []
    for identifier, held in archive.items():
        found = {
            (n2(entry.get("genotype")), subject)
            for subject, entry, _ in held.entries()
            if "-cre" in (fold(entry.get("genotype")) or "")
        }
        if found:
            rows.append([identifier, len({genotype for genotype, _ in found}), len({s for _, s in found})])
    return sorted(rows, key=lambda row: (down(row[2]), row[0]))


def q20(archive: Archive) -> Rows:
    found = defaultdict(set)
    for identifier, held in archive.items():
        for asset in held.assets:
            for sample in n16(asset["metadata"].get("wasDerivedFrom")):
                kind = sample.get("sampleType")
                if told := n2(sample.get("identifier")):
                    found[identifier, n2(kind.get("name")) if isinstance(kind, dict) else None].add(told)
    rows: Rows = [[identifier, kind, len(samples)] for (identifier, kind), samples in found.items()]
    return sorted(rows, key=lambda row: (row[0], last(row[1])))


def _counted(archive: Archive, told: Callable[[Held], set[Any]], *, at_least: int = 1) -> Rows:
    where = defaultdict(set)
    for identifier, held in archive.items():
        for value in told(held) - {None}:
            where[value].add(identifier)
    rows: Rows = [[value, len(found)] for value, found in where.items() if len(found) >= at_least]
    return sorted(rows, key=lambda row: (down(row[1]), row[0]))


QUESTIONS: Mapping[str, Callable[[Archive], Rows]] = {
    name.upper(): function for name, function in sorted(globals().items()) if re.fullmatch(r"q\d\d", name)
}
