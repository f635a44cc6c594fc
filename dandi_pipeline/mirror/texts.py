"""The full-text index over dandisets: what it is made of, and how it is searched.

Words are cut and folded here and not by the database, so that both find the same. An index of words lies beside the
table of texts: FTS5 in SQLite, a tsvector in PostgreSQL.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR

from dandi_pipeline.mirror.facets import stored_json
from dandi_pipeline.mirror.schema import dandiset_texts, versions
from dandi_pipeline.text import storable

FIELDS = ("name", "about", "keywords", "contributors", "description")
"""What is searched, that which counts most first."""

_WEIGHTS = {"name": "A", "about": "B", "keywords": "B", "contributors": "C", "description": "D"}
_RANKS = {"A": 8.0, "B": 4.0, "C": 2.0, "D": 1.0}

CREATE_WORDS: Mapping[str, Sequence[str]] = {
    "sqlite": (
        f"CREATE VIRTUAL TABLE dandiset_words USING fts5({', '.join(FIELDS)},"
        " tokenize = 'unicode61 remove_diacritics 0')",
    ),
    "postgresql": (
        "CREATE TABLE dandiset_words (number BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)",
        "CREATE INDEX dandiset_words_by_word ON dandiset_words USING GIN (words)",
    ),
}

_WORDS = {
    "sqlite": sa.table("dandiset_words", sa.column("rowid"), *map(sa.column, FIELDS)),
    "postgresql": sa.table("dandiset_words", sa.column("number"), sa.column("words")),
}
"""The index of words; its first column is the number of the row in `dandiset_texts`."""

_LONGEST_WORD = 100
_LAST_POSITION = 16_383
_GAP = 20
_EXCERPT = 90
_WORD = re.compile(r"[^\W_]+")
_TERM = re.compile(r'(-?)(?:"([^"]*)"|(\S+))')


@dataclass(frozen=True, slots=True)
class Hit:
    """One dandiset that was found: how well it fits, in which fields, and what it says there."""

    source: str
    dandiset_id: str
    name: str
    rank: float
    found_in: tuple[str, ...]
    excerpt: str


@dataclass(frozen=True, slots=True)
class _Term:
    words: tuple[str, ...]
    begins: bool
    excluded: bool


def words_of(text: str) -> list[str]:
    """Return a text's words as they are compared: without case and accents, English plurals as singulars."""
    return [_singular(word) for word in _folded_words(text)]


def texts_of(metadata: Any) -> dict[str, str]:
    """Return the searchable texts of a draft's metadata; whatever has another form than expected is passed over."""
    document = metadata if isinstance(metadata, dict) else {}
    return {
        "name": _text(document.get("name")),
        "about": _joined(document.get("about"), ("name", "identifier")),
        "keywords": _joined(document.get("keywords"), ()),
        "contributors": _joined(document.get("contributor"), ("name",)),
        "description": _text(document.get("description")),
    }


def renew_texts(connection: sa.Connection, source: str, dandiset_id: str) -> None:
    """Bring the index of one dandiset up to what its draft says, in the caller's transaction."""
    here = (dandiset_texts.c.source == source, dandiset_texts.c.dandiset_id == dandiset_id)
    number = connection.execute(sa.select(dandiset_texts.c.number).where(*here)).scalar()
    if number is not None:
        words = _WORDS[connection.dialect.name]
        connection.execute(sa.delete(words).where(words.columns[0] == number))
        connection.execute(sa.delete(dandiset_texts).where(*here))
    draft = (versions.c.source == source, versions.c.dandiset_id == dandiset_id, versions.c.version == "draft")
    metadata = connection.execute(sa.select(versions.c.metadata).where(*draft)).scalar()
    if metadata is not None:
        _insert(connection, source, dandiset_id, texts_of(stored_json(metadata)))


def renew_all_texts(connection: sa.Connection) -> None:
    """Make the index of all dandisets anew."""
    for table in (_WORDS[connection.dialect.name], dandiset_texts):
        connection.execute(sa.delete(table))
    key = (versions.c.source, versions.c.dandiset_id)
    for row in connection.execute(sa.select(*key).where(versions.c.version == "draft").order_by(*key)).all():
        renew_texts(connection, *row)


def search_texts(connection: sa.Connection, text: str, *, limit: int) -> list[Hit]:
    """Return the dandisets that fit, the best first; all words must be there, in whatever field.

    `"several words"` must stand together, `begin*` finds what begins so, `-word` leaves out what has it.
    """
    terms = _terms(text)
    if not any(not term.excluded for term in terms):
        return []
    statement, query = _query(connection.dialect.name, terms)
    rows = connection.execute(sa.text(statement), {"query": query, "limit": limit}).mappings()
    return [_hit(row, terms) for row in rows]


def _insert(connection: sa.Connection, source: str, dandiset_id: str, texts: Mapping[str, str]) -> None:
    row = {"source": source, "dandiset_id": dandiset_id, **texts}
    key = connection.execute(sa.insert(dandiset_texts).values(row)).inserted_primary_key
    assert key is not None, "one row has one key"
    number = key[0]
    found = {name: words_of(texts[name]) for name in FIELDS}
    table = _WORDS[connection.dialect.name]
    if connection.dialect.name == "sqlite":
        values: dict[str, Any] = {"rowid": number, **{name: " ".join(words) for name, words in found.items()}}
    else:
        values = {"number": number, "words": sa.cast(_tsvector(found), TSVECTOR)}
    connection.execute(sa.insert(table).values(values))


def _tsvector(words: Mapping[str, Sequence[str]]) -> str:
    """Spell a tsvector with its positions; between two fields there is a gap that no phrase spans."""
    places: dict[str, list[str]] = {}
    position = 1
    for name in FIELDS:
        for word in words[name]:
            places.setdefault(word, []).append(f"{min(position, _LAST_POSITION)}{_WEIGHTS[name]}")
            position += 1
        position += _GAP
    return " ".join(f"'{word}':{','.join(found[:255])}" for word, found in places.items())


def _query(dialect: str, terms: Sequence[_Term]) -> tuple[str, str]:
    columns = f"t.source, t.dandiset_id, {', '.join(f't.{name}' for name in FIELDS)}"
    if dialect == "sqlite":
        weights = ", ".join(str(_RANKS[_WEIGHTS[name]]) for name in FIELDS)
        return (
            f"SELECT {columns}, -bm25(dandiset_words, {weights}) AS rank FROM dandiset_words"  # noqa: S608 - the schema's names
            " JOIN dandiset_texts t ON t.number = dandiset_words.rowid WHERE dandiset_words MATCH :query"
            " ORDER BY rank DESC, t.source, t.dandiset_id LIMIT :limit",
            _fts5(terms),
        )
    weights = ", ".join(str(_RANKS[letter] / _RANKS["A"]) for letter in "DCBA")
    return (
        f"SELECT {columns}, ts_rank(ARRAY[{weights}]::float4[], w.words, q.query) AS rank"  # noqa: S608 - the schema's names
        " FROM dandiset_words w JOIN dandiset_texts t ON t.number = w.number,"
        " (SELECT CAST(:query AS tsquery) AS query) q WHERE w.words @@ q.query"
        ' ORDER BY rank DESC, t.source COLLATE "C", t.dandiset_id COLLATE "C" LIMIT :limit'.replace("::", "\\:\\:"),
        _tsquery(terms),
    )


def _fts5(terms: Sequence[_Term]) -> str:
    spelled = [(f'"{" ".join(term.words)}"{"*" if term.begins else ""}', term.excluded) for term in terms]
    wanted = " AND ".join(text for text, excluded in spelled if not excluded)
    unwanted = "".join(f" NOT {text}" for text, excluded in spelled if excluded)
    return f"({wanted}){unwanted}"


def _tsquery(terms: Sequence[_Term]) -> str:
    return " & ".join(map(_tsquery_term, terms))


def _tsquery_term(term: _Term) -> str:
    words = " <-> ".join(f"'{word}'" for word in term.words)
    return f"{'!' if term.excluded else ''}({words}{':*' if term.begins else ''})"


def _terms(text: str) -> list[_Term]:
    found = []
    for minus, phrase, word in _TERM.findall(text):
        begins = not phrase and word.endswith("*")
        words = _folded_words(word) if begins else words_of(phrase or word)
        if words:
            found.append(_Term(tuple(words), begins, bool(minus)))
    return found


def _hit(row: Mapping[Any, Any], terms: Sequence[_Term]) -> Hit:
    fields = [name for name in FIELDS if any(_shows(row[name], term) for term in terms if not term.excluded)]
    told = row[fields[0]] if fields else row["description"]
    # The name is shown anyway; what else says so is more of an answer.
    if fields[:1] == ["name"]:
        told = row[fields[1]] if len(fields) > 1 else row["description"]
    excerpt = _excerpt(told, terms)
    return Hit(row["source"], row["dandiset_id"], row["name"], float(row["rank"]), tuple(fields), excerpt)


def _shows(text: str, term: _Term) -> bool:
    return any(_fits(word, term) for word in _WORD.findall(text))


def _fits(word: str, term: _Term) -> bool:
    if term.begins:
        return any(folded.startswith(term.words[-1]) for folded in _folded_words(word))
    return bool(set(words_of(word)) & set(term.words))


def _excerpt(text: str, terms: Sequence[_Term]) -> str:
    """Return the text around the first word that was asked for."""
    wanted = [term for term in terms if not term.excluded]
    place = next((match.start() for match in _WORD.finditer(text) if any(_fits(match[0], term) for term in wanted)), 0)
    start, end = max(0, place - _EXCERPT), place + _EXCERPT
    return f"{'…' if start else ''}{' '.join(text[start:end].split())}{'…' if end < len(text) else ''}"


def _folded_words(text: str) -> list[str]:
    """Return the words without case and accents: runs of letters and digits."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return [word[:_LONGEST_WORD] for word in _WORD.findall(plain)]


def _singular(word: str) -> str:
    """Return an English plural's singular, by the three rules of D. Harman, How effective is suffixing? (1991)."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and len(word) > 1:
        return word[:-1]
    return word


def _joined(value: Any, members: Sequence[str]) -> str:
    """Join the texts of a list, or those of its objects' members; a single item is a list of one."""
    items = value if isinstance(value, list) else [value]
    return "; ".join(text for item in items for text in _texts(item, members) if text)


def _texts(item: Any, members: Sequence[str]) -> Iterator[str]:
    if isinstance(item, dict):
        yield from (_text(item.get(member)) for member in members)
    else:
        yield _text(item)


def _text(value: Any) -> str:
    """Return a text as any database takes it; nothing for what is none."""
    if not isinstance(value, str):
        return ""
    return storable(value.replace("\0", " "), "?")
