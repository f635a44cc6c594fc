"""The one spelling of a JSON value, and the hash that tells two contents apart."""

from hashlib import blake2b

from dandi_pipeline.http.exact_json import spelled as canonical

__all__ = ["canonical", "digest_of"]


def digest_of(*pieces: bytes) -> str:
    """Return 128 bits of hash over the pieces; enough that no two contents ever share it by chance."""
    return blake2b(b"\0".join(pieces), digest_size=16).hexdigest()
