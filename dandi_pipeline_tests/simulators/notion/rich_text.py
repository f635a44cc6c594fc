"""Rich text as the API spells it: made from plain words, read back as plain words, cut at 25 mentions."""

from collections.abc import Mapping, Sequence
from typing import Any

RichText = list[dict[str, Any]]

_PLAIN = {
    "bold": False,
    "italic": False,
    "strikethrough": False,
    "underline": False,
    "code": False,
    "color": "default",
}


def rich_text(given: str | Sequence[str | Mapping[str, Any]]) -> RichText:
    """Return the segments for a text, or for a sequence of texts and mentions (`{"page": id}`, `{"user": id}`)."""
    pieces = [given] if isinstance(given, str) else given
    return [_text(piece) if isinstance(piece, str) else _mention(piece) for piece in pieces if piece]


def plain_text(segments: RichText) -> str:
    return "".join(segment["plain_text"] for segment in segments)


def up_to_mentions(segments: RichText, limit: int) -> RichText:
    """Return the segments before the mention that would be one too many."""
    mentions = 0
    for position, segment in enumerate(segments):
        mentions += segment["type"] == "mention"
        if mentions > limit:
            return segments[:position]
    return segments


def _text(content: str) -> dict[str, Any]:
    return {
        "type": "text",
        "text": {"content": content, "link": None},
        "annotations": dict(_PLAIN),
        "plain_text": content,
        "href": None,
    }


def _mention(piece: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, identifier),) = piece.items()
    if kind == "page":
        mention: dict[str, Any] = {"type": "page", "page": {"id": identifier}}
        href = f"https://app.notion.com/p/{identifier.replace('-', '')}"
    elif kind == "user":
        mention = {"type": "user", "user": {"object": "user", "id": identifier}}
        href = None
    else:
        raise ValueError(f"a mention is of a page or a user, not of a {kind!r}")
    return {"type": "mention", "mention": mention, "annotations": dict(_PLAIN), "plain_text": kind, "href": href}
