"""One sync of one source: finds what is stale, works on many partitions at once, reports each as it ends."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Event

from dandi_pipeline.errors import (
    ConfigurationError,
    PartitionUnknown,
    PipelineError,
    PlatformUnreachable,
    foreseen,
)
from dandi_pipeline.mirror import HIDDEN_TOKEN, Mirror
from dandi_pipeline.model import Gone, Hidden, Listed, LookupResult, Platform
from dandi_pipeline.sync.options import SyncOptions
from dandi_pipeline.sync.partition import FATAL, PartitionSync
from dandi_pipeline.sync.planning import Stale, StoredTokens, SyncPlan, guard_partitions, plan_listed, plan_looked_up
from dandi_pipeline.sync.preview import PartitionPreview
from dandi_pipeline.sync.progress import Progress, Stage, Unwatched
from dandi_pipeline.sync.reading import Tools, look_up
from dandi_pipeline.sync.report import PartitionReport
from dandi_pipeline.sync.workers import RequestWorkers, rare_collections

_log = logging.getLogger(__name__)

LOOK_UPS = 20
"""Up to this many named partitions are asked for one by one; for more the listing is cheaper."""

UNREACHABLE_IN_A_ROW = 3
"""After this many partitions in a row found the platform unreachable, the rest is not tried any more."""


class Sync:
    """One sync: `plan` it, then `run` or `preview` the plan. The platform and the mirror stay the caller's.

    `mirror` may be None for a preview where none exists yet: everything is new then. `max_concurrent` partitions are
    worked on at once, and as many requests, unless the options' tuning says otherwise.
    """

    def __init__(
        self,
        source: str,
        platform: Platform,
        mirror: Mirror | None,
        options: SyncOptions,
        progress: Progress | None = None,
        *,
        max_concurrent: int = 5,
    ) -> None:
        self._source = source
        self._platform = platform
        self._mirror = mirror
        self._options = options
        self._progress = progress or Unwatched()
        self._max_concurrent = options.tuning.max_concurrent or max_concurrent
        there = platform.description.parts
        self._parts = options.parts or there
        if unknown := set(self._parts) - set(there):
            name = platform.description.name
            raise ConfigurationError(f"{name} has no {', '.join(sorted(unknown))}; it has {there}")

    def plan(self, *, recheck_hidden: bool = True) -> SyncPlan:
        """Ask the platform and the mirror what is stale; raises what stops the whole sync.

        Costs one request per thousand partitions, or one per partition where a few are named. `recheck_hidden`: look
        some of the hidden partitions up as well (see `plan_listed`).
        """
        self._progress.begin(Stage.CHECK_PARTITIONS, None, None)
        try:
            with foreseen(f"the {self._platform.description.partition_noun}s of {self._source}"):
                plan = self._plan(recheck_hidden=recheck_hidden)
            if plan.unread:
                _log.warning("%s", plan.unread)
            self._progress.begin(Stage.CHECK_PARTITIONS, None, plan.checked)
            self._progress.advance(Stage.CHECK_PARTITIONS, None, plan.checked)
            self._progress.learn({item.key: item.listed.name for item in plan.stale if item.listed})
        finally:
            self._progress.end(Stage.CHECK_PARTITIONS, None)
        return plan

    def run(self, plan: SyncPlan, run_id: str) -> Generator[PartitionReport, None, None]:
        """Sync what the plan names and yield each partition's report as it ends, in the caller's thread.

        Facets of other rules are derived anew first, with no request. A failed partition is a report; what would
        fail every partition is raised, once what was under way has ended, as is what of the listing could not be
        read, once all that could be read is synced. Closing the iterator stops the sync: partitions under way are
        left as they were.
        """
        if self._mirror is None:
            raise ConfigurationError("a sync needs a mirror")
        mirror = self._mirror
        mirror.rebuild_facets(self._source)
        yield from self._each(plan, lambda tools, item: PartitionSync(tools, self._source, mirror, run_id, item).run())
        mirror.complete()
        if plan.unread:
            raise plan.unread

    def preview(self, plan: SyncPlan) -> Iterator[PartitionReport]:
        """Yield what `run` would change in each partition, sending only reads and writing nothing.

        With the option `full` every record is compared, so this is a verification; without, what can be foreseen
        cheaply.
        """
        complete = self._options.full
        return self._each(
            plan, lambda tools, item: PartitionPreview(tools, self._source, self._mirror, item, complete).run()
        )

    # Planning

    def _plan(self, *, recheck_hidden: bool) -> SyncPlan:
        stored = self._stored()
        partitions = self._options.partitions
        if not partitions:
            listing = self._platform.list_partitions()
            if self._options.since is None:
                self._guard(listing, stored)
            return plan_listed(listing, stored, self._parts, self._options, recheck_hidden=recheck_hidden)
        sightings = self._sight(partitions, stored)
        self._require_known(sightings, stored)
        return plan_looked_up(sightings, stored, self._parts, self._options)

    def _stored(self) -> StoredTokens:
        """Return the tokens of every partition that the mirror knows, in one query."""
        return self._mirror.tokens(self._source) if self._mirror else {}

    def _guard(self, listing: Sequence[Listed], stored: StoredTokens) -> None:
        """Raise `MassDeletionRefused` if by this listing too much of what is stored would be gone."""
        if self._options.allow_mass_deletion:
            return
        listed = {item.key for item in listing}
        if "" in listed:
            return  # not read whole, it deletes nothing
        held = [key for key, tokens in stored.items() if tokens and HIDDEN_TOKEN not in tokens.values()]
        guard_partitions(
            self._source,
            self._platform.description.partition_noun,
            going=sum(key not in listed for key in held),
            held=len(held),
            listed=len(listed),
        )

    def _sight(self, partitions: Sequence[str], stored: StoredTokens) -> list[LookupResult]:
        """Return how each named partition stands.

        That one which the mirror holds is gone is believed only if the listing lacks it too, and passes the guard: it
        shows what it is that answers. One that is listed all the same is read, and fails by itself.
        """
        few = len(partitions) <= LOOK_UPS
        sightings = [look_up(self._platform, key) for key in partitions] if few else []
        if few and not any(isinstance(sighting, Gone) and sighting.key in stored for sighting in sightings):
            return sightings
        listing = self._platform.list_partitions()
        listed = {item.key: item for item in listing}
        found = {sighting.key: sighting for sighting in sightings}
        sightings = [listed.get(key) or found.get(key) or look_up(self._platform, key) for key in partitions]
        if any(isinstance(sighting, Gone) and sighting.key in stored for sighting in sightings):
            self._guard(listing, stored)
        return sightings

    def _require_known(self, sightings: Sequence[LookupResult], stored: StoredTokens) -> None:
        noun = self._platform.description.partition_noun
        for sighting in sightings:
            if isinstance(sighting, Listed) or sighting.key in stored or self._options.ignore_unknown:
                continue
            if isinstance(sighting, Hidden):
                raise PartitionUnknown(
                    f"{noun} {sighting.key} is not visible to you; give a key that may see it, or leave it out"
                )
            if isinstance(sighting, Gone):
                raise PartitionUnknown(f"{noun} {sighting.key} does not exist in {self._source}; check the identifier")

    # Working on many partitions at once

    def _each(self, plan: SyncPlan, work: Callable[[Tools, Stale], PartitionReport]) -> Iterator[PartitionReport]:
        """Yield each partition's report; when left early, stop the others before their next observation."""
        self._progress.begin(Stage.UPDATE_PARTITIONS, None, len(plan.stale))
        stopping, stored = Event(), self._stored()

        def guard(listing: Sequence[Listed]) -> None:
            self._guard(listing, stored)

        with rare_collections(), RequestWorkers(self._max_concurrent) as workers:

            def work_on(item: Stale) -> PartitionReport:
                with workers.share() as share:
                    return work(Tools(self._platform, self._options, self._progress, share, stopping, guard), item)

            threads = ThreadPoolExecutor(self._max_concurrent, thread_name_prefix="partition")
            try:
                yield from self._reports([threads.submit(work_on, item) for item in plan.stale])
            finally:
                stopping.set()
                threads.shutdown(wait=True, cancel_futures=True)
                self._progress.end(Stage.UPDATE_PARTITIONS, None)

    def _reports(self, futures: Sequence["Future[PartitionReport]"]) -> Iterator[PartitionReport]:
        unreachable = 0
        for future in as_completed(futures):
            report = future.result()
            self._progress.advance(Stage.UPDATE_PARTITIONS, None, 1)
            yield report
            unreachable = unreachable + 1 if isinstance(report.error, PlatformUnreachable) else 0
            if isinstance(report.error, FATAL) or unreachable >= UNREACHABLE_IN_A_ROW:
                raise _stopped_by(report.error, remaining=sum(not future.done() for future in futures))


def _stopped_by(error: PipelineError | None, *, remaining: int) -> PipelineError:
    assert error is not None
    return type(error)(f"{error}; {remaining} more were not tried and stay stale")
