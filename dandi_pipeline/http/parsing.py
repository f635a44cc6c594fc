"""Parses the JSON of an answer."""

import gc
from typing import Any

import orjson


def parsed(body: bytes) -> Any:
    """Return what a body says; raises `orjson.JSONDecodeError` where it is not JSON.

    The garbage collector rests meanwhile: JSON has no cycles, yet it would walk all that is parsed after every 700
    objects of it, which takes twice as long as the parsing. Of two threads at once, the one that found the
    collector at work sets it to work again.
    """
    if not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()
