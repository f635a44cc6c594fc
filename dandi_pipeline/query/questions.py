"""The twenty questions, one SQL text each, the same for SQLite and PostgreSQL; `docs/questions.md` shows them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its number, what it asks, and the statement that answers it with these columns."""

    number: str
    title: str
    columns: tuple[str, ...]
    sql: str


def _question(number: str, title: str, columns: str, sql: str) -> Question:
    return Question(number, title, tuple(columns.split()), sql.strip())


_ALL = (
    _question(
        "Q01",
        "Which dandisets have human subjects, how many, in how many assets?",
        "dandiset_id subjects assets",
        """
SELECT dandiset_id, COUNT(DISTINCT subject_key) AS subjects, COUNT(DISTINCT asset_key) AS assets
FROM asset_subjects
WHERE taxon = 'NCBITaxon:9606' AND subject_key IS NOT NULL
GROUP BY dandiset_id
ORDER BY dandiset_id
""",
    ),
    _question(
        "Q02",
        "By species: how many dandisets, subjects, assets and bytes?",
        "taxon dandisets subjects assets bytes",
        """
SELECT taxon, COUNT(DISTINCT dandiset_id) AS dandisets, CAST(SUM(subjects) AS BIGINT) AS subjects,
       CAST(SUM(assets) AS BIGINT) AS assets, CAST(SUM(bytes) AS BIGINT) AS bytes
FROM species
GROUP BY taxon
ORDER BY dandisets DESC, taxon
""",
    ),
    _question(
        "Q03",
        "Which dandisets have assets with both LFP and sorted Units in one file?",
        "dandiset_id assets",
        """
SELECT l.dandiset_id, CAST(SUM(l.assets) AS BIGINT) AS assets
FROM variables l JOIN variables u ON u.profile_key = l.profile_key
WHERE l.variable = 'LFP' AND u.variable = 'Units'
GROUP BY l.dandiset_id
ORDER BY assets DESC, l.dandiset_id
""",
    ),
    _question(
        "Q04",
        "Which dandisets have at least 3 subjects of whom each has at least 3 assets with ElectricalSeries?",
        "dandiset_id subjects",
        """
SELECT dandiset_id, COUNT(*) AS subjects
FROM (SELECT v.dandiset_id, p.subject_key
      FROM variables v JOIN participant_profiles f ON f.profile_key = v.profile_key
      JOIN participants p ON p.participant_key = f.participant_key
      WHERE v.variable = 'ElectricalSeries' AND p.subject_key IS NOT NULL
      GROUP BY v.dandiset_id, p.subject_key HAVING SUM(f.subject_assets) >= 3) AS recorded
GROUP BY dandiset_id HAVING COUNT(*) >= 3
ORDER BY subjects DESC, dandiset_id
""",
    ),
    _question(
        "Q05",
        "How often is each variable (neurodata type) there?",
        "variable dandisets assets",
        """
SELECT variable, COUNT(DISTINCT dandiset_id) AS dandisets, CAST(SUM(assets) AS BIGINT) AS assets
FROM variables
GROUP BY variable
ORDER BY dandisets DESC, assets DESC, variable
""",
    ),
    _question(
        "Q06",
        "Which dandisets say they are about the hippocampus?",
        "dandiset_id identifier name",
        """
SELECT DISTINCT dandiset_id, identifier, name
FROM about
WHERE version = 'draft' AND (identifier = 'UBERON:0002421' OR name_folded LIKE '%hippocamp%')
ORDER BY dandiset_id, identifier NULLS LAST, name NULLS LAST
""",
    ),
    _question(
        "Q07",
        "Mouse electrophysiology under CC-BY-4.0: which dandisets have more than 10 mice, and how large are they?",
        "dandiset_id mice bytes",
        """
SELECT d.dandiset_id, COUNT(DISTINCT p.subject_key) AS mice, d.bytes
FROM approaches a JOIN participant_profiles f ON f.profile_key = a.profile_key
JOIN participants p ON p.participant_key = f.participant_key
JOIN dandiset_summary d ON d.source = a.source AND d.dandiset_id = a.dandiset_id
JOIN licences l ON l.source = a.source AND l.dandiset_id = a.dandiset_id AND l.version = 'draft'
WHERE a.approach = 'electrophysiological approach' AND p.taxon = 'NCBITaxon:10090' AND l.licence = 'CC-BY-4.0'
GROUP BY d.source, d.dandiset_id, d.bytes HAVING COUNT(DISTINCT p.subject_key) > 10
ORDER BY mice DESC, d.dandiset_id
""",
    ),
    _question(
        "Q08",
        "What would I save by leaving out the video?",
        "dandiset_id video_assets video_bytes other_bytes",
        """
SELECT dandiset_id, video_files AS video_assets, video_bytes, bytes - video_bytes AS other_bytes
FROM dandiset_summary
WHERE video_files > 0
ORDER BY video_bytes DESC, dandiset_id
""",
    ),
    _question(
        "Q09",
        "Who are the subjects of 000008, 000148 and 000559: sex, age and assets?",
        "dandiset_id subject sex age_min_days age_max_days assets",
        """
SELECT dandiset_id, subject, sex, age_min_days, age_max_days, assets
FROM subjects
WHERE dandiset_id IN ('000008', '000148', '000559')
ORDER BY dandiset_id, subject
""",
    ),
    _question(
        "Q10",
        "Young adult mice: which assets have a mouse of 56 to 84 days?",
        "dandiset_id mice assets",
        """
SELECT dandiset_id, COUNT(DISTINCT subject_key) AS mice, COUNT(DISTINCT asset_key) AS assets
FROM asset_subjects
WHERE taxon = 'NCBITaxon:10090' AND age_min_days >= 56 AND age_max_days <= 84 AND subject_key IS NOT NULL
  AND age_max_days >= 56 AND age_min_days <= 84
GROUP BY dandiset_id
ORDER BY mice DESC, dandiset_id
""",
    ),
    _question(
        "Q11",
        "Where does the archive's summary disagree with its assets?",
        "dandiset_id told_files files told_bytes bytes told_subjects subjects",
        """
SELECT dandiset_id, told_files, files, told_bytes, bytes, told_subjects, subjects
FROM dandiset_summary
WHERE told_files <> files OR told_bytes <> bytes OR told_subjects <> subjects
ORDER BY dandiset_id
""",
    ),
    _question(
        "Q12",
        "Who contributes to at least 5 dandisets?",
        "person dandisets",
        """
SELECT person, COUNT(DISTINCT dandiset_id) AS dandisets
FROM contributors
WHERE version = 'draft' AND person IS NOT NULL
GROUP BY person HAVING COUNT(DISTINCT dandiset_id) >= 5
ORDER BY dandisets DESC, person
""",
    ),
    _question(
        "Q13",
        "Which NIH awards paid for what?",
        "award dandisets",
        """
SELECT award, COUNT(DISTINCT dandiset_id) AS dandisets
FROM contributor_awards
WHERE version = 'draft'
GROUP BY award
ORDER BY dandisets DESC, award
""",
    ),
    _question(
        "Q14",
        "What must curators ask for?",
        "dandiset_id no_licence no_contact no_contact_email no_assets",
        """
SELECT dandiset_id, no_licence, no_contact, no_contact_email, no_assets
FROM curation
WHERE no_licence + no_contact + no_contact_email + no_assets > 0
ORDER BY dandiset_id
""",
    ),
    _question(
        "Q15",
        "How many versions are published each year, and how many dandisets for the first time?",
        "year versions first_versions",
        """
SELECT published_year AS year, COUNT(*) AS versions, COUNT(CASE WHEN place = 1 THEN 1 END) AS first_versions
FROM (SELECT published_year,
             ROW_NUMBER() OVER (PARTITION BY source, dandiset_id ORDER BY published, version) AS place
      FROM version_facets WHERE published IS NOT NULL) AS published_versions
GROUP BY published_year
ORDER BY year
""",
    ),
    _question(
        "Q16",
        "Which dandisets share files?",
        "dandiset_a dandiset_b shared_files shared_bytes",
        """
WITH shared AS (SELECT sha256 FROM draft_files WHERE sha256 IS NOT NULL
  GROUP BY sha256 HAVING MIN(dandiset_id) < MAX(dandiset_id)),
files AS (SELECT f.sha256, f.dandiset_id, MAX(f.size) AS size
  FROM shared s JOIN draft_files f ON f.sha256 = s.sha256 GROUP BY f.sha256, f.dandiset_id)
SELECT a.dandiset_id AS dandiset_a, b.dandiset_id AS dandiset_b, COUNT(*) AS shared_files,
       CAST(SUM(a.size) AS BIGINT) AS shared_bytes
FROM files a JOIN files b ON b.sha256 = a.sha256 AND b.dandiset_id > a.dandiset_id
GROUP BY a.dandiset_id, b.dandiset_id
ORDER BY shared_files DESC, dandiset_a, dandiset_b
""",
    ),
    _question(
        "Q17",
        "Which papers belong to more than one dandiset?",
        "doi dandisets",
        """
SELECT doi, COUNT(DISTINCT dandiset_id) AS dandisets
FROM related_resources
WHERE version = 'draft' AND doi IS NOT NULL
GROUP BY doi HAVING COUNT(DISTINCT dandiset_id) > 1
ORDER BY dandisets DESC, doi
""",
    ),
    _question(
        "Q18",
        "Longitudinal data: which subjects were recorded on at least 10 dates?",
        "dandiset_id subjects",
        """
SELECT dandiset_id, COUNT(*) AS subjects
FROM subjects
WHERE recording_dates >= 10
GROUP BY dandiset_id
ORDER BY subjects DESC, dandiset_id
""",
    ),
    _question(
        "Q19",
        "Driver lines: which dandisets have Cre lines?",
        "dandiset_id genotypes subjects",
        """
SELECT dandiset_id, COUNT(DISTINCT genotype) AS genotypes, COUNT(DISTINCT subject_key) AS subjects
FROM participants
WHERE version = 'draft' AND genotype_folded LIKE '%-cre%' AND subject_key IS NOT NULL
GROUP BY dandiset_id
ORDER BY subjects DESC, dandiset_id
""",
    ),
    _question(
        "Q20",
        "How many cells, slices and other samples?",
        "dandiset_id sample_type samples",
        """
SELECT dandiset_id, sample_type, COUNT(DISTINCT sample) AS samples
FROM samples
WHERE sample IS NOT NULL
GROUP BY dandiset_id, sample_type
ORDER BY dandiset_id, sample_type NULLS LAST
""",
    ),
)

QUESTIONS: Mapping[str, Question] = {question.number: question for question in _ALL}
"""Every question by its number, from Q01 to Q20."""
