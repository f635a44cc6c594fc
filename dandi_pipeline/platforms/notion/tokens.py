"""The state token of a data source, and why nothing is lost to Notion's whole minutes.

Notion shows `last_edited_time` rounded down to the minute, and its queries may see an edit a little late. So the
newest time that a check sees, L, does not stand for a state: another edit within the same minute shows the same L.
With `overlap` at least the minute that rounding takes and the time that an index may lag:

*Settled.* A check asks for the schema, whose answer's Date is S, and then for the newest edit. Both are the
server's times, and S is earlier than the look at the newest edit. Once S is at least L + `overlap`, every edit that
will ever be shown as L (or earlier) was made more than the lag ago and was seen; any later one is shown as later
than L. Only then is the token the same at the next check.

*Moving.* Until then the next check always finds the data source stale: what is stored (`stored`) is spelled as
no check spells it, so not even two checks within one second can agree. An answer without a Date settles nothing.

*The bound.* A reading under this token begins after the check. What it missed was made after S minus the lag, so
it is shown with a time after L - `overlap`; the next reading asks for all that is `on_or_after` that, and hashes tell
what of it is new. The watermark is therefore L as it was *before* the reading, never what the reading itself saw.

Nothing here looks at the local clock. What moves no time at all (the trash, sharing, rollups, the other side of a
relation, the title of a mentioned page) no token can show; it is found by the sweep.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dandi_pipeline.http.instants import moment_of
from dandi_pipeline.platforms.canonical import canonical, digest_of
from dandi_pipeline.platforms.notion.content import Json, content_of

_NO_ROW = "-"
_SETTLED, _MOVING, _STORED = "settled", "moving", "unsettled"


@dataclass(frozen=True, slots=True)
class StateToken:
    """How a data source stood at a check.

    `newest` is the time of the newest edit in canonical spelling, None without any row; `rows` a hash over what
    shapes the rows (properties and options), `rest` one over all else that the data source says of itself.
    """

    newest: str | None
    rows: str
    rest: str
    settled: bool

    def __str__(self) -> str:
        return self._spelled(_SETTLED if self.settled else _MOVING)

    @property
    def stored(self) -> str:
        """What to store after a reading under this token: equal to a later check's only if it is settled."""
        return self._spelled(_SETTLED if self.settled else _STORED)

    def _spelled(self, word: str) -> str:
        return f"{self.newest or _NO_ROW} {self.rows} {self.rest} {word}"


def token_of(data_source: Json, newest: str | None, *, server_date: datetime | None, overlap: timedelta) -> StateToken:
    """Return the token for a data source and its newest edit, looked at after `server_date`."""
    content = content_of(data_source)
    properties = content.pop("properties", None)
    return StateToken(
        newest=newest,
        rows=digest_of(canonical(properties)),
        rest=digest_of(canonical(content)),
        settled=newest is None or (server_date is not None and moment_of(newest) + overlap <= server_date),
    )


def parse_token(text: str | None) -> StateToken | None:
    """Return a stored token; None for whatever else may be stored in its place (nothing, or that it is hidden)."""
    words = (text or "").split(" ")
    if len(words) != 4 or words[3] not in (_SETTLED, _STORED):
        return None
    newest, rows, rest, word = words
    return StateToken(None if newest == _NO_ROW else newest, rows, rest, word == _SETTLED)
