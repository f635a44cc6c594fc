"""The one spelling of a JSON value, and the hash that tells two contents apart."""

from hashlib import blake2b
from typing import Any

import orjson


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no blanks, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_of(*pieces: bytes) -> str:
    """Return 128 bits of hash over the pieces; enough that no two contents ever share it by chance."""
    return blake2b(b"\0".join(pieces), digest_size=16).hexdigest()
