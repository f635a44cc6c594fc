"""The tables, roll-ups and views that DANDI's facets live in; `facets.py` derives what they hold."""

from dandi_pipeline.model import FacetColumn, FacetRules, FacetTable, PublicView, RollUp
from dandi_pipeline.platforms.dandi.facets import asset_facets, version_facets

NUMBER = 1
"""Raise it with every change of the rules or the tables: mirrors rebuild their facets from stored metadata then."""


def _text(name: str, meaning: str, example: str = "", path: str = "", *, nullable: bool = True) -> FacetColumn:
    return FacetColumn(name, "text", meaning, example, path, nullable=nullable)


def _integer(name: str, meaning: str, example: str = "", path: str = "", *, nullable: bool = True) -> FacetColumn:
    return FacetColumn(name, "integer", meaning, example, path, nullable=nullable)


def _shared(name: str, table: str, meaning: str, *, nullable: bool = True) -> FacetColumn:
    return FacetColumn(name, "integer", meaning, "1742", shared=table, nullable=nullable)


SOURCE = _text("source", "the source's alias", "dandi", nullable=False)
DANDISET = _text("dandiset_id", "the dandiset's six digits", "000008", nullable=False)
VERSION = _text("version", "`draft`, or a published version", "draft", nullable=False)
PATH = _text("path", "the asset's path", "sub-YutaMouse20/sub-YutaMouse20_ses-140321.nwb", "path", nullable=False)
ASSET_KEY = _integer("asset_key", "the asset, within this mirror; it changes when the asset does", "90125")
PARTICIPANT_KEY = _shared("participant_key", "participants", "the participant entry", nullable=False)

_PROFILE = _shared("profile_key", "profiles", "the asset's variables, approaches and techniques", nullable=False)
_FILE = (
    _text("asset_id", "the asset's identifier", "d3b1b5a6-5f0c-4a4f-8d3f-0d9d7d3c0f51", "identifier"),
    _integer("size", "bytes; null where the archive gives no number", "1048576", "contentSize"),
    _text("encoding_format", "the file's media type", "application/x-nwb", "encodingFormat"),
    _text("extension", "what follows the last dot of the file's name, in lower case", "nwb", "path"),
    _integer("video", "1 for a video, by media type or extension (N12); else 0", "0", "encodingFormat", nullable=False),
    _text(
        "sha256", "what a file is identified by (N14); null for a zarr", "9f86d081884c7d65…", "digest.dandi:sha2-256"
    ),
    _PROFILE,
)
_SUBJECT = _text("subject", "the subject's identifier (N2, N9)", "YutaMouse20", "wasAttributedTo[].identifier")
_TAXON = _text("taxon", "the species' id (N3)", "NCBITaxon:10090", "wasAttributedTo[].species.identifier")
_SEX = _text("sex", "the sex that is told (N2)", "Female", "wasAttributedTo[].sex.name")
_YOUNGEST = FacetColumn(
    "age_min_days", "number", "the age's lower bound in days (N7)", "90.0", "wasAttributedTo[].age.value"
)
_OLDEST = FacetColumn(
    "age_max_days", "number", "the age's upper bound in days (N7)", "180.0", "wasAttributedTo[].age.value"
)
_GENOTYPE = _text("genotype", "the genotype (N2)", "Sst-IRES-Cre/wt", "wasAttributedTo[].genotype")
_GENOTYPE_FOLDED = _text(
    "genotype_folded", "the genotype case-folded, to search in", "sst-ires-cre/wt", "wasAttributedTo[].genotype"
)
_PARTICIPANT = (
    _text("subject_original", "the identifier as written", "YutaMouse20", "wasAttributedTo[].identifier"),
    _TAXON,
    _text(
        "species_identifier",
        "the species' id as written",
        "http://purl.obolibrary.org/obo/NCBITaxon_10090",
        "wasAttributedTo[].species.identifier",
    ),
    _text("species_name", "the species' name, which never counts", "House mouse", "wasAttributedTo[].species.name"),
    _SEX,
    _text("sex_original", "the sex as written", "Female", "wasAttributedTo[].sex.name"),
    _YOUNGEST,
    _OLDEST,
    _text("age_original", "the age as written", "P3M/P6M", "wasAttributedTo[].age.value"),
    _text(
        "age_reference",
        "what the age is counted from, as written",
        "dandi:BirthReference",
        "wasAttributedTo[].age.valueReference.value",
    ),
    _GENOTYPE,
    _GENOTYPE_FOLDED,
    _text("genotype_original", "the genotype as written", "Sst-IRES-Cre/wt", "wasAttributedTo[].genotype"),
    _text("strain", "the strain's name (N2)", "C57BL/6J", "wasAttributedTo[].strain.name"),
)
_SAMPLE = (
    _text("sample", "the sample's identifier (N2)", "20180420_slice_2", "wasDerivedFrom[].identifier"),
    _text("sample_type", "what kind of sample it is (N2)", "slice", "wasDerivedFrom[].sampleType.name"),
    _text("sample_original", "the identifier as written", "20180420_slice_2", "wasDerivedFrom[].identifier"),
    _text("sample_type_original", "the type as written", "slice", "wasDerivedFrom[].sampleType.name"),
)
_SESSION = (
    _text(
        "session_id",
        "the session's identifier (N2), where it is not its name",
        "681698752",
        "wasGeneratedBy[].identifier",
    ),
    _text("session", "the session's name (N2)", "ses-140321", "wasGeneratedBy[].name"),
    _text(
        "recording_date",
        "the local date: ten characters of the start as written (N8)",
        "2018-10-22",
        "wasGeneratedBy[].startDate",
    ),
    FacetColumn("started", "instant", "the start in UTC", "2018-10-22T17:34:08.145000Z", "wasGeneratedBy[].startDate"),
    _text("start_original", "the start as written", "2018-10-22T10:34:08.145000-07:00", "wasGeneratedBy[].startDate"),
)
_VARIABLE = _text("variable", "the variable (N2)", "ElectricalSeries", "variableMeasured[].value", nullable=False)
_APPROACH = _text("approach", "the approach (N2)", "electrophysiological approach", "approach[].name", nullable=False)
_TECHNIQUE = _text(
    "technique", "the technique (N2)", "spike sorting technique", "measurementTechnique[].name", nullable=False
)
_ASSETS = _integer("assets", "how many assets of the version have the profile", "572")
_PROBLEM = (
    _text("field", "the field that cannot be read", "wasAttributedTo[].age.value", nullable=False),
    _text("problem", "what is wrong with it", "is no age", nullable=False),
    _text("value", "the beginning of what was written, or its type", "about 3 months"),
)


def _as_written(of: str, example: str, path: str) -> FacetColumn:
    return _text("original", f"{of} as first written", example, path)


_PROFILE_TABLES = (
    FacetTable(
        "profiles",
        of="",
        meaning="sets of variables, approaches and techniques; many assets share each",
        columns=(),
        key="profile_key",
    ),
    FacetTable(
        "profile_variables",
        of="profiles",
        meaning="the variables of each profile",
        columns=(_VARIABLE, _as_written("the variable", "ElectricalSeries", "variableMeasured[].value")),
    ),
    FacetTable(
        "profile_approaches",
        of="profiles",
        meaning="the approaches of each profile",
        columns=(_APPROACH, _as_written("the approach", "electrophysiological approach", "approach[].name")),
    ),
    FacetTable(
        "profile_techniques",
        of="profiles",
        meaning="the techniques of each profile",
        columns=(
            _TECHNIQUE,
            _as_written("the technique", "spike sorting technique", "measurementTechnique[].name"),
        ),
    ),
)

_ASSET_TABLES = (
    FacetTable(
        "asset_files",
        of="asset",
        meaning="one row an asset, drafts' and published versions': what questions need of the file itself",
        columns=_FILE,
        key="asset_key",
        indexes=(("sha256", "version", "dandiset_id", "size"), ("profile_key",)),
    ),
    FacetTable(
        "subject_keys",
        of="",
        meaning="the subjects of each version by number",
        columns=(_SUBJECT,),
        key="subject_key",
    ),
    FacetTable(
        "participants",
        of="",
        meaning="participant entries: what an asset says of a subject; equal entries of a version are one row",
        columns=(_shared("subject_key", "subject_keys", "the subject; null without identifier"), *_PARTICIPANT),
        key="participant_key",
        indexes=(("subject_key",),),
    ),
    FacetTable(
        "asset_participants",
        of="asset",
        meaning="which participant entries each asset has",
        columns=(
            PARTICIPANT_KEY,
            _integer("first_of_subject", "1 for the asset's first entry of its subject, else 0", "1", nullable=False),
            _integer("first_of_species", "1 for its first subject of the species, else 0", "1", nullable=False),
        ),
        indexes=(("participant_key", "asset_key"),),
    ),
    FacetTable("asset_samples", of="asset", meaning="the samples of each asset, at any depth (N16)", columns=_SAMPLE),
    FacetTable("asset_sessions", of="asset", meaning="the sessions of each asset", columns=_SESSION),
    FacetTable(
        "asset_problems", of="asset", meaning="what could not be read of an asset", columns=_PROBLEM, spelled=True
    ),
)

_CONTRIBUTOR = _integer("contributor", "the contributor's place in the list, from 0", "0", nullable=False)
_VERSION_TABLES = (
    FacetTable(
        "version_facets",
        of="version",
        meaning="one row a version: its texts, when it was published, what the archive's summary says",
        columns=(
            _text("name", "the dandiset's name (N2)", "Physiological properties of CA1", "name"),
            _text("description", "the description (N2)", "Recordings of …", "description"),
            FacetColumn(
                "published",
                "instant",
                "when the version was published (N15)",
                "2022-01-26T18:52:00.000000Z",
                "datePublished",
            ),
            _integer("published_year", "the year of that in UTC", "2022", "datePublished"),
            _integer("told_files", "files, as the archive's summary says", "101", "assetsSummary.numberOfFiles"),
            _integer(
                "told_bytes", "bytes, as the archive's summary says", "2559248010229", "assetsSummary.numberOfBytes"
            ),
            _integer(
                "told_subjects", "subjects, as the archive's summary says", "16", "assetsSummary.numberOfSubjects"
            ),
            _text("schema_version", "the metadata's schema", "0.6.4", "schemaVersion"),
        ),
    ),
    FacetTable(
        "contributors",
        of="version",
        meaning="people and organizations of each version",
        columns=(
            _text("schema_key", "Person or Organization", "Person", "contributor[].schemaKey"),
            _text(
                "person",
                "who it is (N4): the ORCID, else the folded name; null for organizations",
                "0000-0002-3100-4800",
                "contributor[].identifier",
            ),
            _text("name", "the name (N2)", "Svoboda, Karel", "contributor[].name"),
            _text("name_original", "the name as written", "Svoboda, Karel", "contributor[].name"),
            _text("orcid", "the ORCID", "0000-0002-6670-7362", "contributor[].identifier"),
            _text(
                "identifier",
                "the identifier as written",
                "https://orcid.org/0000-0002-6670-7362",
                "contributor[].identifier",
            ),
            _text("email", "the address (N2)", "someone@example.org", "contributor[].email"),
            _text("award_number", "the award as written", "1 R01 NS 123887-01", "contributor[].awardNumber"),
        ),
    ),
    FacetTable(
        "contributor_roles",
        of="version",
        meaning="the roles of each contributor",
        columns=(
            _CONTRIBUTOR,
            _text("role", "the role without `dcite:` (N4)", "ContactPerson", "contributor[].roleName"),
            _as_written("the role", "dcite:ContactPerson", "contributor[].roleName"),
        ),
    ),
    FacetTable(
        "contributor_affiliations",
        of="version",
        meaning="the affiliations of each contributor",
        columns=(
            _CONTRIBUTOR,
            _text("name", "the affiliation's name (N2)", "Janelia Research Campus", "contributor[].affiliation[].name"),
            _text(
                "name_original", "the name as written", "Janelia Research Campus", "contributor[].affiliation[].name"
            ),
            _text(
                "identifier",
                "the identifier as written",
                "https://ror.org/013sk6x84",
                "contributor[].affiliation[].identifier",
            ),
        ),
    ),
    FacetTable(
        "contributor_awards",
        of="version",
        meaning="the NIH awards that contributors name (N13)",
        columns=(
            _CONTRIBUTOR,
            _text("award", "activity code and serial number", "R01NS123887", "contributor[].awardNumber"),
            _as_written("the award", "1 R01 NS 123887-01", "contributor[].awardNumber"),
        ),
    ),
    FacetTable(
        "about",
        of="version",
        meaning="what each version is about: anatomy, disorders and the like",
        columns=(
            _text("schema_key", "what kind of thing it is", "Anatomy", "about[].schemaKey"),
            _text("identifier", "the id (N3)", "UBERON:0002421", "about[].identifier"),
            _text(
                "identifier_original",
                "the id as written",
                "http://purl.obolibrary.org/obo/UBERON_0002421",
                "about[].identifier",
            ),
            _text("name", "the name (N2)", "hippocampal formation", "about[].name"),
            _text("name_folded", "the name case-folded, to search in", "hippocampal formation", "about[].name"),
            _text("name_original", "the name as written", "hippocampal formation", "about[].name"),
        ),
    ),
    FacetTable(
        "related_resources",
        of="version",
        meaning="papers, code and data that each version relates to",
        columns=(
            _text("doi", "the DOI (N6)", "10.1038/nature11129", "relatedResource[].identifier"),
            _text("relation", "how it relates, without `dcite:`", "IsDescribedBy", "relatedResource[].relation"),
            _text("relation_original", "the relation as written", "dcite:IsDescribedBy", "relatedResource[].relation"),
            _text("name", "the resource's name (N2)", "Neural population dynamics", "relatedResource[].name"),
            _text("identifier", "the identifier as written", "doi:10.1038/nature11129", "relatedResource[].identifier"),
            _text("url", "the address as written", "https://doi.org/10.1038/nature11129", "relatedResource[].url"),
        ),
    ),
    FacetTable(
        "keywords",
        of="version",
        meaning="the keywords of each version",
        columns=(
            _text("keyword", "the keyword (N2)", "Hippocampus", "keywords[]"),
            _text("keyword_folded", "the keyword case-folded, to search in", "hippocampus", "keywords[]"),
            _as_written("the keyword", "Hippocampus", "keywords[]"),
        ),
    ),
    FacetTable(
        "licences",
        of="version",
        meaning="the licences of each version",
        columns=(
            _text("licence", "the licence without `spdx:` (N4)", "CC-BY-4.0", "license[]"),
            _as_written("the licence", "spdx:CC-BY-4.0", "license[]"),
        ),
    ),
    FacetTable(
        "access_requirements",
        of="version",
        meaning="who may read each version, and when its embargo ends",
        columns=(
            _text("status", "the access without `dandi:`", "EmbargoedAccess", "access[].status"),
            FacetColumn(
                "embargoed_until",
                "instant",
                "when the embargo ends",
                "2026-05-01T00:00:00.000000Z",
                "access[].embargoedUntil",
            ),
            _as_written("the embargo's end", "2026-05-01", "access[].embargoedUntil"),
        ),
    ),
    FacetTable(
        "data_standards",
        of="version",
        meaning="the standards that the archive's summary names",
        columns=(
            _text(
                "name",
                "the standard's name (N2)",
                "Neurodata Without Borders (NWB)",
                "assetsSummary.dataStandard[].name",
            ),
            _text(
                "identifier", "the identifier as written", "RRID:SCR_015242", "assetsSummary.dataStandard[].identifier"
            ),
        ),
    ),
    FacetTable("version_problems", of="version", meaning="what could not be read of a version", columns=_PROBLEM),
)

_SUMS = (
    _integer("files", "assets", "101", nullable=False),
    _integer("bytes", "the sum of their sizes", "2559248010229", nullable=False),
    _integer("subjects", "distinct subjects (N9)", "16", nullable=False),
    _integer("video_files", "assets that are videos (N12)", "0", nullable=False),
    _integer("video_bytes", "the sum of the videos' sizes", "0", nullable=False),
)

_SPECIES = (
    _TAXON,
    _integer("subjects", "distinct subjects of the species", "16", nullable=False),
    _integer("assets", "assets with at least one of them", "101", nullable=False),
    _integer("bytes", "the sum of these assets' sizes", "2559248010229", nullable=False),
)

_PROFILE_OF = _integer("profile_key", "the profile, in `profiles`", "3", nullable=False)
_SUBJECT_SUMS = (
    _text("sex", "the sex, if exactly one is told", "Female", "wasAttributedTo[].sex.name"),
    _text(
        "taxon", "the species' id, if exactly one is told", "NCBITaxon:10090", "wasAttributedTo[].species.identifier"
    ),
    _text("genotype", "the genotype, if exactly one is told", "Sst-IRES-Cre/wt", "wasAttributedTo[].genotype"),
    FacetColumn(
        "age_min_days", "number", "the least lower bound of age in days (N7)", "90.0", "wasAttributedTo[].age.value"
    ),
    FacetColumn(
        "age_max_days", "number", "the greatest upper bound of age in days (N7)", "180.0", "wasAttributedTo[].age.value"
    ),
    _integer("assets", "how many assets have the subject", "12", nullable=False),
    _integer(
        "recording_dates",
        "on how many distinct dates these were recorded",
        "3",
        "wasGeneratedBy[].startDate",
        nullable=False,
    ),
)

_ROLL_UPS = (
    RollUp(
        "profile_facets",
        meaning="what the assets of each version and profile add up to",
        columns=(
            VERSION,
            _PROFILE_OF,
            _ASSETS,
            _integer("bytes", "the sum of their sizes", "2559248010229", nullable=False),
            _integer("video_files", "assets that are videos (N12)", "0", nullable=False),
            _integer("video_bytes", "the sum of the videos' sizes", "0", nullable=False),
        ),
        select="""
SELECT f.version, f.profile_key, COUNT(*), COALESCE(SUM(f.size), 0), SUM(f.video), COALESCE(SUM(f.video * f.size), 0)
FROM asset_files f
WHERE f.source = :source AND f.dandiset_id = :partition
GROUP BY f.version, f.profile_key""",
    ),
    RollUp(
        "dandiset_facets",
        meaning="what the assets of each version add up to; absent for a version without assets in the mirror",
        columns=(VERSION, *_SUMS),
        select="""
SELECT r.version, SUM(r.assets), SUM(r.bytes),
       (SELECT COUNT(*) FROM subject_keys s
        WHERE s.source = :source AND s.dandiset_id = :partition AND s.version = r.version),
       SUM(r.video_files), SUM(r.video_bytes)
FROM profile_facets r
WHERE r.source = :source AND r.dandiset_id = :partition
GROUP BY r.version""",
    ),
    RollUp(
        "participant_profiles",
        meaning="in how many assets of each profile each participant entry is",
        columns=(
            VERSION,
            _integer("participant_key", "the participant entry, in `participants`", "1742", nullable=False),
            _PROFILE_OF,
            _integer("assets", "assets of the profile that have the entry", "12", nullable=False),
            _integer("subject_assets", "of these, those whose first entry of the subject it is", "12", nullable=False),
            _integer(
                "species_assets", "of these, those whose first subject of the species it is", "12", nullable=False
            ),
            _integer("species_bytes", "the sum of the latter's sizes", "2559248010229", nullable=False),
        ),
        select="""
SELECT f.version, l.participant_key, f.profile_key, COUNT(*), SUM(l.first_of_subject), SUM(l.first_of_species),
       COALESCE(SUM(l.first_of_species * f.size), 0)
FROM asset_files f CROSS JOIN asset_participants l
WHERE f.source = :source AND f.dandiset_id = :partition AND l.asset_key = f.asset_key
GROUP BY f.version, l.participant_key, f.profile_key""",
    ),
    RollUp(
        "dandiset_species",
        meaning="the species of each version (N3), in assets that have at least one such subject",
        columns=(VERSION, *_SPECIES),
        select="""
SELECT r.version, p.taxon, COUNT(DISTINCT p.subject_key), SUM(r.species_assets), SUM(r.species_bytes)
FROM participant_profiles r CROSS JOIN participants p
WHERE r.source = :source AND r.dandiset_id = :partition AND p.participant_key = r.participant_key
  AND p.taxon IS NOT NULL AND p.subject_key IS NOT NULL
GROUP BY r.version, p.taxon""",
    ),
    # A table, not a subquery of the next: without statistics, PostgreSQL would read the subquery for each subject.
    RollUp(
        "subject_dates",
        meaning="on how many dates the subjects of each version were recorded; absent for one without dates",
        columns=(
            VERSION,
            _integer("subject_key", "the subject, in `subject_keys`", "17", nullable=False),
            _integer("recording_dates", "distinct local dates (N8)", "3", nullable=False),
        ),
        select="""
SELECT f.version, q.subject_key, COUNT(DISTINCT t.recording_date)
FROM asset_files f CROSS JOIN asset_participants l CROSS JOIN participants q CROSS JOIN asset_sessions t
WHERE f.source = :source AND f.dandiset_id = :partition AND l.asset_key = f.asset_key
  AND q.participant_key = l.participant_key AND t.asset_key = f.asset_key AND q.subject_key IS NOT NULL
GROUP BY f.version, q.subject_key""",
    ),
    RollUp(
        "subject_facets",
        meaning="what the assets of each version say of each subject together",
        columns=(
            VERSION,
            _integer("subject_key", "the subject, in `subject_keys`", "17", nullable=False),
            *_SUBJECT_SUMS,
        ),
        select="""
SELECT r.version, p.subject_key,
       CASE WHEN MIN(p.sex) = MAX(p.sex) THEN MIN(p.sex) END,
       CASE WHEN MIN(p.taxon) = MAX(p.taxon) THEN MIN(p.taxon) END,
       CASE WHEN MIN(p.genotype) = MAX(p.genotype) THEN MIN(p.genotype) END,
       MIN(p.age_min_days), MAX(p.age_max_days), SUM(r.subject_assets), COALESCE(MAX(d.recording_dates), 0)
FROM participant_profiles r CROSS JOIN participants p
LEFT JOIN subject_dates d ON d.subject_key = p.subject_key
WHERE r.source = :source AND r.dandiset_id = :partition AND p.participant_key = r.participant_key
  AND p.subject_key IS NOT NULL
GROUP BY r.version, p.subject_key""",
    ),
)

_DRAFT_KEYS = (SOURCE, DANDISET)

_CONTACT = (
    "SELECT 1 FROM contributor_roles r JOIN contributors c ON c.source = r.source AND c.dandiset_id = r.dandiset_id"
    " AND c.version = r.version AND c.ordinal = r.contributor WHERE r.source = d.source"
    " AND r.dandiset_id = d.dandiset_id AND r.version = 'draft' AND r.role = 'ContactPerson'"
)

_VIEWS = (
    PublicView(
        "draft_files",
        "the files of drafts, one row an asset, without its metadata",
        (*_DRAFT_KEYS, PATH, ASSET_KEY, *_FILE),
        "SELECT source, dandiset_id, path, asset_key, asset_id, size, encoding_format, extension, video, sha256,"
        " profile_key FROM asset_files WHERE version = 'draft'",
    ),
    PublicView(
        "published_files",
        "the files of published versions, where the source mirrors them (`versions: all`)",
        (*_DRAFT_KEYS, VERSION, PATH, ASSET_KEY, *_FILE),
        "SELECT source, dandiset_id, version, path, asset_key, asset_id, size, encoding_format, extension, video,"
        " sha256, profile_key FROM asset_files WHERE version <> 'draft'",
    ),
    PublicView(
        "asset_subjects",
        "who the assets of drafts were recorded from: one row for each participant entry of each asset",
        (
            *_DRAFT_KEYS,
            ASSET_KEY,
            PARTICIPANT_KEY,
            _integer("subject_key", "the subject, within this mirror; null without identifier", "17"),
            _TAXON,
            _SEX,
            _YOUNGEST,
            _OLDEST,
            _GENOTYPE,
            _GENOTYPE_FOLDED,
        ),
        "SELECT p.source, p.dandiset_id, l.asset_key, l.participant_key, p.subject_key, p.taxon, p.sex,"
        " p.age_min_days, p.age_max_days, p.genotype, p.genotype_folded"
        " FROM participants p JOIN asset_participants l ON l.participant_key = p.participant_key"
        " WHERE p.version = 'draft'",
    ),
    PublicView(
        "subjects",
        "the subjects of drafts (N9), with all that any of their assets states",
        (
            *_DRAFT_KEYS,
            _SUBJECT,
            _integer("subject_key", "the subject, within this mirror", "17"),
            *_SUBJECT_SUMS,
        ),
        "SELECT s.source, s.dandiset_id, s.subject, s.subject_key, r.sex, r.taxon, r.genotype, r.age_min_days,"
        " r.age_max_days, r.assets, r.recording_dates"
        " FROM subject_keys s JOIN subject_facets r ON r.subject_key = s.subject_key WHERE s.version = 'draft'",
    ),
    *(
        PublicView(
            plural,
            f"the {plural} of drafts: one row for each {singular} of each profile",
            (*_DRAFT_KEYS, _integer("profile_key", "the profile, which assets share", "3"), column, original, _ASSETS),
            f"SELECT p.source, p.dandiset_id, p.profile_key, v.{column.name}, v.original, p.assets"  # noqa: S608 - the schema's names
            f" FROM profile_facets p JOIN {table} v ON v.profile_key = p.profile_key WHERE p.version = 'draft'",
        )
        for plural, singular, table, column, original in (
            (
                "variables",
                "variable",
                "profile_variables",
                _VARIABLE,
                _as_written("the variable", "LFP", "variableMeasured[].value"),
            ),
            (
                "approaches",
                "approach",
                "profile_approaches",
                _APPROACH,
                _as_written("the approach", "behavioral approach", "approach[].name"),
            ),
            (
                "techniques",
                "technique",
                "profile_techniques",
                _TECHNIQUE,
                _as_written("the technique", "surgical technique", "measurementTechnique[].name"),
            ),
        )
    ),
    PublicView(
        "samples",
        "the samples of drafts' assets, at any depth (N16)",
        (*_DRAFT_KEYS, PATH, ASSET_KEY, *_SAMPLE),
        "SELECT f.source, f.dandiset_id, f.path, l.asset_key, l.sample, l.sample_type, l.sample_original,"
        " l.sample_type_original"
        " FROM asset_samples l JOIN asset_files f ON f.asset_key = l.asset_key WHERE f.version = 'draft'",
    ),
    PublicView(
        "sessions",
        "the sessions of drafts' assets",
        (*_DRAFT_KEYS, PATH, ASSET_KEY, *_SESSION),
        "SELECT f.source, f.dandiset_id, f.path, l.asset_key, l.session_id, l.session, l.recording_date, l.started,"
        " l.start_original"
        " FROM asset_sessions l JOIN asset_files f ON f.asset_key = l.asset_key WHERE f.version = 'draft'",
    ),
    PublicView(
        "dandiset_summary",
        "each dandiset: what its draft's assets add up to, beside what the archive's summary says",
        (
            *_DRAFT_KEYS,
            _text("name", "the draft's name", "Physiological properties of CA1", "name"),
            _text("embargo_status", "OPEN, EMBARGOED or UNEMBARGOING", "OPEN"),
            *_SUMS,
            _integer("told_files", "files, as the archive's summary says", "101", "assetsSummary.numberOfFiles"),
            _integer(
                "told_bytes", "bytes, as the archive's summary says", "2559248010229", "assetsSummary.numberOfBytes"
            ),
            _integer(
                "told_subjects", "subjects, as the archive's summary says", "16", "assetsSummary.numberOfSubjects"
            ),
        ),
        "SELECT d.source, d.dandiset_id, d.name, d.embargo_status,"
        " COALESCE(f.files, 0) AS files, COALESCE(f.bytes, 0) AS bytes, COALESCE(f.subjects, 0) AS subjects,"
        " COALESCE(f.video_files, 0) AS video_files, COALESCE(f.video_bytes, 0) AS video_bytes,"
        " v.told_files, v.told_bytes, v.told_subjects"
        " FROM dandisets d"
        " LEFT JOIN dandiset_facets f ON f.source = d.source AND f.dandiset_id = d.dandiset_id AND f.version = 'draft'"
        " LEFT JOIN version_facets v ON v.source = d.source AND v.dandiset_id = d.dandiset_id AND v.version = 'draft'",
    ),
    PublicView(
        "species",
        "the species of each draft (N3)",
        (*_DRAFT_KEYS, *_SPECIES),
        "SELECT source, dandiset_id, taxon, subjects, assets, bytes FROM dandiset_species WHERE version = 'draft'",
    ),
    PublicView(
        "curation",
        "what each draft lacks, 1 or 0 each",
        (
            *_DRAFT_KEYS,
            _integer("no_licence", "1 if no licence is stated", "0", "license"),
            _integer("no_contact", "1 if nobody has the role ContactPerson", "0", "contributor[].roleName"),
            _integer("no_contact_email", "1 if no ContactPerson has an address", "1", "contributor[].email"),
            _integer("no_assets", "1 if there is no asset", "0"),
        ),
        "SELECT d.source, d.dandiset_id,"  # noqa: S608 - the schema's names
        " CASE WHEN EXISTS (SELECT 1 FROM licences l WHERE l.source = d.source AND l.dandiset_id = d.dandiset_id"
        " AND l.version = 'draft') THEN 0 ELSE 1 END AS no_licence,"
        f" CASE WHEN EXISTS ({_CONTACT}) THEN 0 ELSE 1 END AS no_contact,"
        f" CASE WHEN EXISTS ({_CONTACT} AND c.email IS NOT NULL) THEN 0 ELSE 1 END AS no_contact_email,"
        " CASE WHEN d.files = 0 THEN 1 ELSE 0 END AS no_assets FROM dandiset_summary d",
    ),
    PublicView(
        "problems",
        "what could not be read of assets and versions; null in the facets",
        (
            *_DRAFT_KEYS,
            VERSION,
            _text("path", "the asset's path; null for the version itself", "sub-1/sub-1.nwb"),
            *_PROBLEM,
        ),
        "SELECT source, dandiset_id, version, path, field, problem, value FROM asset_problems"
        " UNION ALL SELECT source, dandiset_id, version, NULL, field, problem, value FROM version_problems",
    ),
)

FACETS = FacetRules(
    number=NUMBER,
    partition="dandiset_id",
    scope="version",
    tables=(*_PROFILE_TABLES, *_ASSET_TABLES, *_VERSION_TABLES),
    roll_ups=_ROLL_UPS,
    views=_VIEWS,
    derive={"asset": asset_facets, "version": version_facets},
    identity=(
        SOURCE,
        DANDISET,
        VERSION,
        PATH,
        ASSET_KEY,
        _integer("profile_key", "the profile, in `profiles`", "3"),
        _integer("ordinal", "the row's place among its like, from 0", "0"),
        _text("hash", "tells two contents apart", "kJ3xV9m2Qd0Zt7Yb"),
    ),
)
