"""Every link within the project leads somewhere."""

import pytest

from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document, documents

LONGEST_PICTURE = 200_000
"""Bytes: a clone should stay small."""


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_every_relative_link_resolves(document: Document) -> None:
    broken = [link for link in document.links if "://" not in link and not _resolves(document, link)]
    assert broken == []


def _resolves(document: Document, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.path.parent / path).resolve() if path else document.path
    return target.exists() and (not anchor or anchor in Document(target).anchors)


def test_every_picture_is_shown_somewhere_and_is_small() -> None:
    shown = {(document.path.parent / link).resolve() for document in documents() for link in document.links}
    for picture in (CHECKOUT / "docs" / "images").iterdir():
        assert picture in shown
        assert picture.stat().st_size < LONGEST_PICTURE


def test_the_documents_speak_of_no_machine() -> None:
    for document in documents():
        assert not {"/work/", "/tmp/", "/root/"} & {word[:6] for word in document.text.split()}, document.name
