"""Tells people of what went wrong, by a webhook and by e-mail: failures, staleness, and guards that held back.

`build_alerts` makes the sensors of this project. `failure_sensor` and `alert_on_failure` are public, by the name
`dandi_pipeline`, for jobs of anybody's own. What is told is decided here; whether something failed or is stale,
in `history`.
"""

import json
import logging
import os
import smtplib
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from filelock import FileLock, Timeout

from dandi_pipeline.catalogue import peek_mirror
from dandi_pipeline.errors import GUARD, AlertNotSent, PipelineError
from dandi_pipeline.http import USER_AGENT, Metrics
from dandi_pipeline.http.addresses import Quoting
from dandi_pipeline.http.exchange import AttemptFailed, Connection, Timeouts
from dandi_pipeline.orchestration.automation import CheckFailed
from dandi_pipeline.orchestration.dagster_internals import FailedTick, failed_ticks
from dandi_pipeline.orchestration.history import Freshness, PastSync, freshness_of, past_sync
from dandi_pipeline.orchestration.recording import SOURCE, printable
from dandi_pipeline.orchestration.sources import sensor_name
from dandi_pipeline.platforms.registry import SETTINGS
from dandi_pipeline.settings import AlertSettings, Settings, Source, load_sources
from dandi_pipeline.sync.planning import HOW_TO_ALLOW
from dandi_pipeline.text import quantity

FAILURE, STALENESS = "failure", "staleness"

ONE_MESSAGE_IN = timedelta(hours=1)
"""There is one message at most of a kind and a source in this time; what comes meanwhile is in the next one."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One line for people. `kind` is "failure", "staleness" or "guard", `source` the alias of a source or a job's name.

    What it is `about`, e.g. a run's id, is told once.
    """

    kind: str
    source: str
    text: str
    about: str


# Sending

_TIMEOUTS = Timeouts(connect=5, read=10, total=15)
_LARGEST_ANSWER = 64 * 1024
_MOST_LINES = 10


@dataclass(frozen=True, slots=True)
class _Channel:
    """A way to people: `deliver` takes a heading and lines, and raises `AlertNotSent`, which names no secret."""

    name: str
    deliver: Callable[[str, Sequence[str]], None] = field(repr=False)


def _channels(settings: AlertSettings) -> list[_Channel]:
    quoting, channels = Quoting(_secrets(settings)), []
    if settings.webhook_url:
        channels.append(_Channel("webhook", partial(_post, settings.webhook_url, quoting)))
    if settings.email_to:
        channels.append(_Channel("e-mail", partial(_mail, settings, quoting)))
    return channels


def _secrets(settings: AlertSettings) -> tuple[str, ...]:
    """Return what must stand in no message: the webhook's URL, what is secret in it, and the password."""
    url = settings.webhook_url or ""
    parts = urlsplit(url)
    texts = (url, f"{parts.path}?{parts.query}", parts.path, parts.query, settings.mail_server.password or "")
    return tuple(text for text in texts if len(text) > 2)


def _post(url: str, quoting: Quoting, heading: str, lines: Sequence[str]) -> None:
    """Send what Slack, Mattermost and others take at an incoming webhook."""
    text = "\n".join([f"*{_escaped(heading)}*", *(f"• {_escaped(line)}" for line in lines)])
    connection = Connection(
        authorization=None,
        headers={"User-Agent": USER_AGENT},
        pool_size=1,
        keep_alive=False,
        timeouts=_TIMEOUTS,
        largest_body=_LARGEST_ANSWER,
        metrics=Metrics(),
        quoting=quoting,
    )
    host = urlsplit(url).hostname
    with closing(connection), _addresses_unlogged():
        try:
            reply = connection.send("POST", url, json.dumps({"text": text}).encode())
        except (AttemptFailed, PipelineError) as error:
            raise AlertNotSent(f"the webhook at {host} took no message: {quoting.text(str(error))}") from None
    if not 200 <= reply.status < 300:
        said = quoting.text(reply.body)
        raise AlertNotSent(f"the webhook at {host} took no message: it answered {reply.status} {said}")


def _escaped(text: str) -> str:
    """Return text as Slack's markup has it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@contextmanager
def _addresses_unlogged() -> Iterator[None]:
    """Keep this thread's requests out of urllib3's log: at level DEBUG it has the path of each, here a secret."""
    logger, thread = logging.getLogger("urllib3.connectionpool"), threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)


def _mail(settings: AlertSettings, quoting: Quoting, heading: str, lines: Sequence[str]) -> None:
    """Send a plain message; a password goes over an encrypted connection only."""
    message, server = EmailMessage(), settings.mail_server
    message["Subject"] = heading
    message["From"] = settings.email_from
    message["To"] = ", ".join(settings.email_to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=settings.email_from.rpartition("@")[2])
    message.set_content("\n".join([*lines, ""]))
    try:
        with _mail_connection(settings) as connection:
            connection.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        reason = quoting.text(f"{type(error).__name__}: {' '.join(str(error).split())}")
        raise AlertNotSent(f"the mail server {server.host}:{server.port} took no message: {reason}") from None


@contextmanager
def _mail_connection(settings: AlertSettings) -> Iterator[smtplib.SMTP]:
    server, trusted = settings.mail_server, ssl.create_default_context()
    with ExitStack() as stack:
        if server.tls:
            opened: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUTS.read, context=trusted)
        else:
            opened = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUTS.read)
        connection = stack.enter_context(opened)
        # Nobody listens in on the own machine, whose mail server has a certificate of its own making, if any.
        if not server.tls and (server.password or not _is_loopback(server.host)):
            connection.ehlo()
            if connection.has_extn("starttls"):
                connection.starttls(context=trusted)
                connection.ehlo()
            elif server.password:
                raise smtplib.SMTPException("it offers no encryption (STARTTLS), so the password was not sent")
        if server.user and server.password:
            connection.login(server.user, server.password)
        yield connection


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Alerts:
    """Sends alerts and remembers, in a file of `home` that its processes share, what was sent when.

    Anybody may post the same alert any number of times. What cannot be sent is not remembered, so that posting it
    again sends it; `AlertNotSent` says so, once everything else is sent.
    """

    def __init__(self, settings: AlertSettings, home: Path) -> None:
        self._settings = settings
        self._quoting = Quoting(_secrets(settings))
        self._file = home / "alerts.json"

    def post(self, alerts: Iterable[Alert] = (), *, now: datetime | None = None) -> int:
        """Send the alerts, and what was held back until now; return how many messages went out."""
        now, posted = now or datetime.now(timezone.utc), tuple(alerts)
        failures, sent = [], 0
        with _held(self._file.with_suffix(".lock")):
            told = _Told.read(self._file, now)
            for channel in _channels(self._settings):
                try:
                    for key in told.due(channel.name, posted, now):
                        channel.deliver(*self._message(key, told.waiting(key)))
                        told.sent(key, now)
                        sent += 1
                except AlertNotSent as error:
                    # What else goes this way would only wait for it again.
                    failures.append(str(error))
            told.write(self._file)
        if failures:
            raise AlertNotSent("; ".join(failures))
        return sent

    def _message(self, key: str, waiting: Sequence[str]) -> tuple[str, list[str]]:
        _, kind, source = key.split(" ", 2)
        shown = [self._quoting.text(line, longest=1_000) for line in waiting[:_MOST_LINES]]
        more = [f"… and {len(waiting) - len(shown):,} more"] if len(waiting) > len(shown) else []
        return printable(f"dandi_pipeline: {kind}, {source}"), [*shown, *more]


@contextmanager
def _held(path: Path) -> Iterator[None]:
    try:
        with FileLock(path, timeout=30):
            yield
    except Timeout:
        raise AlertNotSent(f"{path}: others are sending; what is to be told is told the next time") from None


class _Told:
    """What was sent and what waits, by channel, kind and source."""

    _REMEMBERED = timedelta(days=2)
    _MOST = 200

    def __init__(self, entries: dict[str, dict[str, Any]]) -> None:
        self._entries = entries

    @classmethod
    def read(cls, file: Path, now: datetime) -> "_Told":
        """Read the file; one that is damaged counts as none, at the cost of a message told twice."""
        try:
            entries = json.loads(file.read_text(encoding="utf-8"))
            kept = {key: entry for key, entry in entries.items() if _instant(entry["sent"]) > now - cls._REMEMBERED}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            kept = {}
        return cls(kept)

    def write(self, file: Path) -> None:
        """Write the file, whole or not at all."""
        text = json.dumps({key: entry for key, entry in self._entries.items() if "sent" in entry})
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text, encoding="utf-8")
        new.replace(file)

    def due(self, channel: str, alerts: Sequence[Alert], now: datetime) -> list[str]:
        """Let the alerts wait, but those about what was told, and return of what a message may go out now."""
        for alert in alerts:
            entry = self._entries.setdefault(f"{channel} {alert.kind} {alert.source}", {"about": [], "waiting": []})
            if alert.about not in entry["about"]:
                entry["about"] = [*entry["about"], alert.about][-self._MOST :]
                entry["waiting"] = [*entry["waiting"], printable(alert.text)][: self._MOST]
        return [
            key
            for key, entry in self._entries.items()
            if key.startswith(f"{channel} ") and entry["waiting"] and self._may_go(entry, now)
        ]

    @staticmethod
    def _may_go(entry: Mapping[str, Any], now: datetime) -> bool:
        last = _instant(entry["sent"]) if "sent" in entry else None
        # A clock that was set back must not silence it.
        return last is None or not last <= now < last + ONE_MESSAGE_IN

    def waiting(self, key: str) -> list[str]:
        """Return the lines that wait."""
        return list(self._entries[key]["waiting"])

    def sent(self, key: str, now: datetime) -> None:
        """Note that what waited is sent."""
        self._entries[key] |= {"sent": now.isoformat(), "waiting": []}


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# What is told


def build_alerts() -> dg.Definitions:
    """Return the sensors that tell of this project's sources, by the environment; none where nobody is to be told."""
    settings = _read_settings()
    if not settings.alerts.configured:
        return dg.Definitions()
    sources = [source for source in load_sources(settings.sources_path, SETTINGS) if source.enabled]
    return dg.Definitions(sensors=[failure_sensor(), staleness_sensor(sources)])


def _alerts(settings: Settings) -> Alerts:
    return Alerts(settings.alerts, settings.dagster_home)


def _read_settings() -> Settings:
    """Return the settings of the process that tells: the code location, or the run that a hook is in."""
    return Settings.from_environment(os.environ, Path.cwd())


def failure_sensor(
    name: str = "failure_alerts",
    *,
    jobs: Iterable[str] = (),
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """Return a sensor that tells of each run that has failed, whoever launched it: daemon, UI or a command.

    With `jobs` only of runs of the jobs with these names, else of every one that Dagster knows. Of a sync it says which
    partitions failed and why; one that was interrupted or mistyped is nobody's trouble, and a run that Dagster launches
    again is told of once that has failed as well. What failed before the sensor's first look is not told.
    """
    wanted = frozenset(jobs)

    @dg.sensor(
        name=name,
        minimum_interval_seconds=60,
        description="Tells of failed runs, by ALERT_WEBHOOK_URL and ALERT_EMAIL_TO.",
        default_status=default_status,
    )
    def failures(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings, last = _read_settings(), _Seen.from_cursor(context.cursor)
        seen, records = last.next(context.instance)
        told = [
            alert
            for record in (records if context.cursor else ())
            if not wanted or record.dagster_run.job_name in wanted
            for alert in _failure(context.instance, record, settings.alerts)
        ]
        with _told_as_failed_check():
            sent = _alerts(settings).post(told)
        context.update_cursor(seen.to_cursor())
        return dg.SkipReason(f"{quantity(len(told), 'failure')} since the last look, {quantity(sent, 'message')} sent")

    return failures


@contextmanager
def _told_as_failed_check() -> Iterator[None]:
    """Let a message that could not be sent fail the tick, in one line; its cursor stays, so that it is tried again."""
    try:
        yield
    except PipelineError as error:
        raise CheckFailed(printable(str(error))) from None


_OVERLAP = timedelta(minutes=5)
"""How long it may take until a change of a run is seen by all who ask for changes since then."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """How far the changes of runs were looked at, and which runs lately."""

    since: datetime
    runs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "_Seen":
        """Begin now where there is no cursor, or one that was edited by hand."""
        try:
            written = json.loads(cursor or "")
            return cls(_instant(written["since"]), written["runs"])
        except (ValueError, KeyError, TypeError):
            return cls(datetime.now(timezone.utc))

    def to_cursor(self) -> str:
        return json.dumps({"since": self.since.isoformat(), "runs": self.runs})

    def next(self, instance: dg.DagsterInstance) -> tuple["_Seen", list[dg.RunRecord]]:
        """Return the runs that have failed since, oldest first, and what is seen with them."""
        failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=self.since - _OVERLAP)
        records = instance.get_run_records(failed, limit=1_000, order_by="update_timestamp", ascending=True)
        # One that Dagster is about to launch again changes once more if that is not to be.
        settled = [record for record in records if record.dagster_run.tags.get("dagster/will_retry") != "true"]
        new = [record for record in settled if record.dagster_run.run_id not in self.runs and self._is_news(record)]
        since = max([self.since, *(record.update_timestamp for record in records)])
        runs = {**self.runs, **{record.dagster_run.run_id: record.update_timestamp.isoformat() for record in settled}}
        return _Seen(since, {key: at for key, at in runs.items() if _instant(at) > since - 2 * _OVERLAP}), new

    def _is_news(self, record: dg.RunRecord) -> bool:
        """Whether it failed since, and is not an old one whose tags were changed."""
        return record.end_time is None or record.end_time > (self.since - 2 * _OVERLAP).timestamp()


def _failure(instance: dg.DagsterInstance, record: dg.RunRecord, settings: AlertSettings) -> Iterator[Alert]:
    run = record.dagster_run
    if SOURCE in run.tags:
        sync = past_sync(record)
        if sync.status in ("failed", "done with errors"):
            kind = GUARD if GUARD in sync.failures else FAILURE
            yield Alert(kind, sync.source, f"{_told_of(sync)} {_link(run.run_id, settings)}", run.run_id)
    else:
        yield Alert(FAILURE, run.job_name, f"{_why(instance, run.run_id)} {_link(run.run_id, settings)}", run.run_id)


_NAMED = 3
"""Failed partitions that a line names."""


def _told_of(sync: PastSync) -> str:
    report = sync.report
    if report is None or not report.problems:
        return f"the sync of {sync.scope or sync.source} failed: {sync.why_failed}"
    named = "; ".join(
        f"{problem.partition}: {problem.message}" if problem.message else problem.partition
        for problem in report.problems[:_NAMED]
    )
    more = f"; and {report.failed - _NAMED:,} more" if report.failed > _NAMED else ""
    return f"{quantity(report.failed, report.partition_noun)} failed ({report.scope}): {named}{more}"


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return which steps of somebody's run failed, and the first's reason."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event) is not None]
    if not events:
        return "the run failed outside of its steps"
    steps = ", ".join(str(event.step_key) for event in events[:_NAMED])
    error = events[0].step_failure_data.error
    root = error and (error.cause or error)
    return f"failed in {steps}{f': {root.message}' if root else ''}"


def _link(run_id: str, settings: AlertSettings) -> str:
    return f"({settings.ui_url}/runs/{run_id})" if settings.ui_url else f"(run {run_id})"


_GRACE = timedelta(minutes=10)
"""For how long a source is seen overdue before that is told: who was away looks first."""

_FAILED_IN_A_ROW = 2


def staleness_sensor(
    sources: Sequence[Source],
    name: str = "staleness_alerts",
    *,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """Return a sensor that tells which sources are overdue, and each day that they still are, and whose checks fail.

    A source is overdue when it was not looked at for twice its interval. Of a guard that holds back a check is told at
    once, of other failures when two checks in a row have failed; of the same again the next day.
    """
    every = {sensor_name(source.alias): source for source in sources}

    @dg.sensor(
        name=name,
        minimum_interval_seconds=300,
        description="Tells of overdue sources and failing checks, by ALERT_WEBHOOK_URL and ALERT_EMAIL_TO.",
        default_status=default_status,
    )
    def staleness(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settings, now = _read_settings(), datetime.now(timezone.utc)
        overdue = _overdue(sources, settings, now)
        began = {alias: _first_seen(context.cursor, alias) or now.isoformat() for alias in overdue}
        told = [*_stale(overdue, began, now)]
        for sensor, ticks in failed_ticks(context.instance, every).items():
            told.extend(_failing(every[sensor].alias, ticks))
        with _told_as_failed_check():
            sent = _alerts(settings).post(told)
        context.update_cursor(json.dumps(began))
        return dg.SkipReason(f"{quantity(len(overdue), 'source')} overdue, {quantity(sent, 'message')} sent")

    return staleness


def _overdue(sources: Sequence[Source], settings: Settings, now: datetime) -> dict[str, Freshness]:
    with peek_mirror(settings.mirror_database_url) or nullcontext() as mirror:
        standing = freshness_of(settings.dagster_home, sources, mirror, now)
    return {alias: freshness for alias, freshness in standing.items() if freshness.is_overdue(now)}


def _first_seen(cursor: str | None, alias: str) -> str | None:
    try:
        seen = json.loads(cursor or "{}")[alias]
        return str(seen) if _instant(seen) else None
    except (ValueError, KeyError, TypeError):
        return None


def _stale(overdue: Mapping[str, Freshness], began: Mapping[str, str], now: datetime) -> Iterator[Alert]:
    for alias, freshness in overdue.items():
        seen_for = now - _instant(began[alias])
        if seen_for >= _GRACE:
            last = f"last looked at {freshness.checked:%Y-%m-%d %H:%M} UTC" if freshness.checked else "never looked at"
            what = "the mirror holds nothing of it" if freshness.emptied and freshness.checked else last
            text = f"overdue: {what}, to be looked at every {_spelled(freshness.every)}; see `dandi-pipeline health`"
            yield Alert(STALENESS, alias, text, f"{began[alias]} {seen_for.days}")


def _spelled(interval: timedelta) -> str:
    """Return an interval as `sources.yaml` has it, e.g. "15m" or "2d"."""
    units = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)))
    return next(f"{interval // unit}{letter}" for letter, unit in units if interval % unit == timedelta())


def _failing(alias: str, ticks: Sequence[FailedTick]) -> Iterator[Alert]:
    newest = ticks[0]
    held_back = HOW_TO_ALLOW in newest.message
    if held_back or len(ticks) >= _FAILED_IN_A_ROW:
        day = datetime.fromtimestamp(newest.at, timezone.utc).date()
        text = f"the check failed: {newest.message}"
        yield Alert(GUARD if held_back else FAILURE, alias, text, f"{day} {newest.message}")


# For jobs of anybody's own


@dg.failure_hook(name="alert_on_failure")
def alert_on_failure(context: dg.HookContext) -> None:
    """Tell of a step that has failed at once, from the run itself: `define_asset_job(…, hooks={alert_on_failure})`.

    It tells nobody where nothing is configured. A message that cannot be sent is a line in the run's log: it changes
    nothing of how the run ends.
    """
    settings = _read_settings()
    if not settings.alerts.configured:
        return
    error = context.op_exception
    reason = f": {type(error).__name__}: {error}" if error else ""
    text = f"failed in {context.step_key}{reason} {_link(context.run_id, settings.alerts)}"
    try:
        _alerts(settings).post([Alert(FAILURE, context.job_name, text, context.run_id)])
    except PipelineError as failure:
        context.log.warning(printable(str(failure)))
