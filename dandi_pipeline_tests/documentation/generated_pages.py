"""Writes the pages that show what the code says: `docs/questions.md` and `docs/data-dictionary.md`."""

from collections.abc import Mapping
from pathlib import Path

from dandi_pipeline.catalogue import PUBLIC
from dandi_pipeline.mirror.dictionary import to_markdown
from dandi_pipeline.query.questions import QUESTIONS, Question
from dandi_pipeline_tests.documentation.markdown import CHECKOUT

_QUESTIONS = """# Twenty questions

What people ask of DANDI, each as one SQL text that SQLite and PostgreSQL take alike. The texts read
[facets](facets.md), not JSON; [the data dictionary](data-dictionary.md) says what each column means, and
[facets](facets.md#rules) by which rules (N1 to N16) text, ages and identifiers are read.
Draft versions count, but for Q15.

This page is written by `python -m dandi_pipeline_tests.documentation.generated_pages` from
`dandi_pipeline/query/questions.py`.
"""

_DICTIONARY = """# Data dictionary

Every table and view that people query, with every column. Paths lead into the platform's metadata; `[]` means each
item of a list. Keys are numbers within one mirror and change when a record does. Rules N1 to N16 are in
[facets](facets.md#rules).

This page is written by `python -m dandi_pipeline_tests.documentation.generated_pages` from the schema.
"""


def pages() -> Mapping[Path, str]:
    """Return each page as it is to be."""
    questions = "\n".join(map(_section, QUESTIONS.values()))
    return {
        CHECKOUT / "docs" / "questions.md": f"{_QUESTIONS}\n{questions}",
        CHECKOUT / "docs" / "data-dictionary.md": f"{_DICTIONARY}\n{to_markdown(PUBLIC.values())}",
    }


def _section(question: Question) -> str:
    return f"### {question.number} {question.title}\n\n```sql\n{question.sql}\n```\n"


def main() -> None:
    """Write them anew."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
