"""How Notion's ids are spelled: UUIDs, which people copy with or without their dashes."""

import re
import uuid

_BARE = re.compile(r"[0-9a-f]{32}", re.ASCII)


def dashed(text: str) -> str:
    """Return an id as the API spells it; raise ValueError for what is none."""
    bare = text.strip().lower().replace("-", "")
    if not _BARE.fullmatch(bare):
        raise ValueError("not a Notion id; expected the 32 letters and digits of its address, with or without dashes")
    return str(uuid.UUID(bare))
