"""Brings one partition up to date: read, compare, stage, commit; read again if it changed meanwhile."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from dandi_pipeline.errors import (
    CredentialRejected,
    DatabaseUnavailable,
    PipelineError,
    PlatformUnreachable,
    QuotaExhausted,
    TornRead,
)
from dandi_pipeline.mirror import HIDDEN_TOKEN, Counts, Mirror, PartitionSession
from dandi_pipeline.model import Gone, Hidden, Known, Listed, LookupResult, Settled
from dandi_pipeline.sync.planning import Stale, guard_records
from dandi_pipeline.sync.progress import Stage
from dandi_pipeline.sync.reading import Interrupted, Reading, Tools, attempt_partition
from dandi_pipeline.sync.report import HIDDEN_WARNING, Outcome, PartitionReport, Tally, cut_short

_log = logging.getLogger(__name__)


FATAL = (CredentialRejected, QuotaExhausted, DatabaseUnavailable)
"""Errors that every other partition would meet as well."""

_FAILS_ALIKE = (PlatformUnreachable, *FATAL)
"""Errors that every other part of the partition would meet as well."""


class PartitionSync:
    """One partition of one sync. Whatever goes wrong, the report carries it; see `foreseen`."""

    def __init__(self, tools: Tools, source: str, mirror: Mirror, run_id: str, item: Stale) -> None:
        self._tools = tools
        self._source = source
        self._mirror = mirror
        self._run_id = run_id
        self._item = item
        self._key = item.key
        self._tokens: set[str] = set()
        self._started = time.monotonic()

    def run(self) -> PartitionReport:
        """Bring the partition up to date, or say why it could not be; what failed stays stale."""
        report = attempt_partition(self._tools, self._item, self._settle, self._failed)
        if report.error is not None and not isinstance(report.error, Interrupted):
            error = report.error
            report = self._without_bulk(report, error)
            self._record_failure(report.parts, error)
        return replace(report, duration_seconds=time.monotonic() - self._started)

    def _without_bulk(self, report: PartitionReport, error: PipelineError) -> PartitionReport:
        """Bring the other parts up to date where the bulk of the records may be what failed; some requests tell.

        So a dandiset of which a page of assets cannot be read has its name and versions in the mirror all the same.
        """
        bulk = self._tools.platform.description.bulk.part
        others = tuple(part for part in self._item.parts if part != bulk)
        apart = others and bulk in self._item.parts and report.outcome is Outcome.FAILED
        if not apart or self._item.listed is None or isinstance(error, _FAILS_ALIKE):
            return report
        item = replace(self._item, parts=others)
        rest = PartitionSync(self._tools, self._source, self._mirror, self._run_id, item)
        came_through = attempt_partition(self._tools, item, rest._settle, rest._failed)
        if came_through.error is not None:
            return report
        return replace(came_through, outcome=Outcome.FAILED, parts=(bulk,), kept=others, error=error)

    def _failed(self, error: PipelineError) -> PartitionReport:
        return self._report(Outcome.FAILED, error=error)

    def _settle(self, sighting: LookupResult, last: bool) -> PartitionReport:
        """Make the mirror hold what was sighted."""
        self._tokens |= {sighting.token} if isinstance(sighting, Listed) else set()
        with self._mirror.session(self._source, self._key, self._item.parts) as session:
            if isinstance(sighting, Gone):
                return self._remove(session)
            if isinstance(sighting, Hidden):
                return self._hide(session)
            return self._synchronize(session, sighting, last=last)

    def _remove(self, session: PartitionSession) -> PartitionReport:
        counts = session.remove(run_id=self._run_id)
        tallies = {name: Tally(deleted=count.deleted) for name, count in counts.items()}
        return self._report(Outcome.REMOVED, tallies=tallies, held=dict.fromkeys(self._item.parts, 0))

    def _hide(self, session: PartitionSession) -> PartitionReport:
        if all(state is not None and state.token == HIDDEN_TOKEN for state in session.states.values()):
            return self._report(Outcome.FRESH)
        session.hide(run_id=self._run_id)
        return self._report(Outcome.HIDDEN, warning=HIDDEN_WARNING, token=HIDDEN_TOKEN, held=_held(session))

    def _synchronize(self, session: PartitionSession, listed: Listed, *, last: bool) -> PartitionReport:
        tokens = {part: None if state is None else state.token for part, state in session.states.items()}
        if not self._tools.options.full and all(token == listed.token for token in tokens.values()):
            return self._report(Outcome.FRESH)
        known = {
            kind.name: session.known(kind) if kind.part in self._item.parts else {}
            for kind in self._tools.platform.description.kinds
        }
        reading = Reading(self._tools, listed, self._item.parts, known, tokens, session.stage, shape=session.shape)
        try:
            settled = reading.run()
        except TornRead as torn:
            if not last:
                raise
            return self._commit(session, reading, None, torn=torn)
        self._delete(session, reading, known)
        return self._commit(session, reading, settled)

    def _delete(self, session: PartitionSession, reading: Reading, known: Mapping[str, Known]) -> None:
        for kind, keys in reading.comparison.gone():
            if not self._tools.options.allow_mass_deletion:
                guard_records(self._key, kind.name, going=len(keys), held=len(known[kind.name]))
            session.stage_deleted(kind, keys)

    def _commit(
        self, session: PartitionSession, reading: Reading, settled: Settled | None, *, torn: TornRead | None = None
    ) -> PartitionReport:
        """Commit what is staged; a part that was not read whole and untorn is stored without a token."""
        whole = settled.parts if settled else ()
        tokens = {part: settled.token if settled and part in whole else None for part in self._item.parts}
        # A partition whose first attempts failed has states, but nothing of it was ever stored.
        new = all(state is None or state.generation == 0 for state in session.states.values())
        # Torn under one token it does not add up, which no edit explains.
        changing = torn is not None and len(self._tokens) > 1
        tallies = self._write(session, tokens, reading.comparison.tallies(), changing=changing)
        complete = torn is None and len(whole) == len(self._item.parts)
        report = self._report(
            Outcome.SYNCED if complete else Outcome.INCOMPLETE,
            tallies=tallies,
            new=new,
            plan=reading.plan,
            token=settled.token if settled and complete else None,
            held=_held(session),
            warning="" if complete or torn else cut_short(self._tools.options.max_records),
            error=torn,
        )
        return _still_changing(report, torn, session) if torn and changing else report

    def _write(
        self,
        session: PartitionSession,
        tokens: Mapping[str, str | None],
        expected: Mapping[str, Tally],
        *,
        changing: bool,
    ) -> dict[str, Tally]:
        """Commit; return the tallies with what the database counted in place of what was expected."""
        progress, changed = self._tools.progress, expected[self._tools.platform.description.bulk.name].changed
        progress.begin(Stage.UPDATE_RECORDS, self._key, changed)
        try:
            counts = session.commit(run_id=self._run_id, tokens=tokens, changing=changing)
            progress.advance(Stage.UPDATE_RECORDS, self._key, changed)
        finally:
            progress.end(Stage.UPDATE_RECORDS, self._key)
        return {name: _counted(tally, counts.get(name, Counts())) for name, tally in expected.items()}

    def _report(self, outcome: Outcome, **details: object) -> PartitionReport:
        listed = self._item.listed
        name, address = (listed.name, listed.address) if listed else ("", "")
        return PartitionReport(self._key, name, outcome, self._item.parts, address=address, **details)  # type: ignore[arg-type]

    def _record_failure(self, parts: Sequence[str], error: PipelineError) -> None:
        """Remember the failure in the mirror, which may be what failed: then the report alone tells of it."""
        try:
            self._mirror.record_failure(
                self._source, self._key, parts, run_id=self._run_id, group=error.group, message=str(error)
            )
        except PipelineError as unrecorded:
            _log.warning("%s: the failure could not be recorded: %s", self._key, unrecorded)


def _held(session: PartitionSession) -> dict[str, int]:
    """Return how many records the mirror holds of each part, as of the session's commit."""
    return {part: state.records for part, state in session.states.items() if state is not None}


CHANGING_AT_MOST = timedelta(days=1)
"""How long a partition may keep changing while it is read, as in an upload, before that is an error."""


def _still_changing(report: PartitionReport, torn: TornRead, session: PartitionSession) -> PartitionReport:
    """Return the report of what changed at every reading: a warning at first, an error once it does so for long.

    The clock that is read here decides what people are told, never what is stale.
    """
    begun = [state.changing_since for state in session.states.values() if state and state.changing_since]
    since, now = min(begun, default=None), datetime.now(timezone.utc)
    if since is None or now - since < CHANGING_AT_MOST:
        return replace(report, error=None, warning=f"still changing, the next sync reads it again ({torn})")
    hours = int((now - since).total_seconds()) // 3600
    return replace(
        report, error=TornRead(f"{torn}; so it is at every sync since {since:%Y-%m-%d %H:%M} UTC, {hours} h")
    )


def _counted(tally: Tally, counts: Counts) -> Tally:
    """Return the tally with what the database counted in place of what the comparison expected."""
    return replace(tally, added=counts.inserted, updated=counts.updated, deleted=counts.deleted)
