"""How addresses and answers are quoted in messages: short, printable, and without secrets."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_HIDDEN = "***"
_SECRET_PARAMETER = re.compile(r"key|token|secret|signature|password|credential|auth", re.IGNORECASE)
_LONGEST_TEXT = 200
_LONGEST_URL = 400


class Quoting:
    """Quotes for messages. None of `secrets` stands in what it returns, even where a platform echoes one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(secrets)

    def __repr__(self) -> str:
        return "Quoting()"

    def text(self, text: str | bytes, *, longest: int = _LONGEST_TEXT) -> str:
        """Return the start of a text as one printable line of at most `longest` characters."""
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        # Before cutting, or the cut could leave the first half of a secret behind.
        start = self._without_secrets(text)[: 8 * longest]
        line = " ".join("".join(c if c.isprintable() else " " for c in start).split())
        return line if len(line) <= longest else line[: longest - 1] + "…"

    def url(self, url: str) -> str:
        """Return a URL without user, password and fragment, and with the secrets in its query hidden."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return "an unreadable address"
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        hidden = [(name, _HIDDEN if _SECRET_PARAMETER.search(name) else value) for name, value in pairs]
        query = urlencode(hidden, safe="*:/,", quote_via=quote)
        host = parts.netloc.rpartition("@")[2]
        return self.text(parts._replace(netloc=host, query=query, fragment="").geturl(), longest=_LONGEST_URL)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text
