"""Who is to be told hears of failures, staleness and guards: once an hour, on every channel, and no secret with it."""

import json
import logging
import re
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import serializable_error_info_from_exc_info

from dandi_pipeline.errors import AlertNotSent, MassDeletionRefused, PartitionUnknown
from dandi_pipeline.orchestration.alerts import (
    Alert,
    Alerts,
    alert_on_failure,
    build_alerts,
    failure_sensor,
    staleness_sensor,
)
from dandi_pipeline.orchestration.automation import CheckFailed
from dandi_pipeline.settings import AlertSettings, MailServer
from dandi_pipeline_tests.documentation.markdown import CHECKOUT, Document
from dandi_pipeline_tests.http.scripted_server import ScriptedServer, Step, answer, reset
from dandi_pipeline_tests.orchestration.served import free_port
from dandi_pipeline_tests.orchestration.site import Site

NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
SECRET_PATH, PASSWORD = "/services/T0KEN/s3cret-hook", "pa55-w0rd"


@dataclass
class Mailbox:
    """A mail server that takes messages of who logs in over TLS."""

    authority: trustme.CA
    messages: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        parsed = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)
        return "250 OK"

    @staticmethod
    def login(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        success = (given.login, given.password) == (b"bot@example.org", PASSWORD.encode())
        # The server itself is to say no.
        return AuthResult(success=success, handled=False)


@dataclass
class Receivers:
    """A chat and a mail server on real sockets."""

    chat: ScriptedServer
    mailbox: Mailbox
    environ: dict[str, str]

    @property
    def posted(self) -> list[str]:
        """What came by the webhook."""
        return [json.loads(request.body)["text"] for request in self.chat.requests]

    @property
    def settings(self) -> AlertSettings:
        port = int(self.environ["ALERT_SMTP_URL"].rpartition(":")[2])
        return AlertSettings(
            webhook_url=self.environ["ALERT_WEBHOOK_URL"],
            email_to=("a@example.org",),
            email_from="mirror@example.org",
            mail_server=MailServer("localhost", port, tls=False, user="bot@example.org", password=PASSWORD),
        )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def receivers(
    site: Site, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receivers]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mailbox, context = Mailbox(authority), _server_context(authority)
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=Mailbox.login,
        auth_required=True,
    )
    controller.start()
    try:
        with ScriptedServer([answer(body=b"ok")]) as chat:
            environ = {
                **site.environ,
                "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
                "ALERT_WEBHOOK_URL": f"{chat.url}{SECRET_PATH}",
                "ALERT_EMAIL_TO": "a@example.org, b@example.org",
                "ALERT_EMAIL_FROM": "mirror@example.org",
                "ALERT_SMTP_URL": f"smtp://bot%40example.org@localhost:{controller.port}",
                "ALERT_SMTP_PASSWORD": PASSWORD,
                "ALERT_UI_URL": "https://dagster.example.org",
            }
            for name, value in environ.items():
                monkeypatch.setenv(name, value)
            monkeypatch.chdir(tmp_path)
            yield Receivers(chat, mailbox, environ)
    finally:
        controller.stop()


def _server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def look(instance: dg.DagsterInstance, sensor: dg.SensorDefinition, cursor: str | None) -> str:
    """Evaluate the sensor as its tick does, and return its next cursor."""
    with dg.build_sensor_context(instance, cursor=cursor) as context:
        return str(sensor.evaluate_tick(context).cursor)


@pytest.fixture
def watched(instance: dg.DagsterInstance) -> str:
    """The cursor of a failure sensor that has looked once, before anything was synced."""
    return look(instance, failure_sensor(), None)


def test_a_failed_sync_of_the_command_line_is_told_once_on_every_channel_and_no_secret_with_it(
    site: Site,
    instance: dg.DagsterInstance,
    receivers: Receivers,
    watched: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
    run_id = site.sync().run_id
    # One that is killed is told of at once, since nobody launches it again.
    assert instance.get_runs()[0].tags["dagster/max_retries"] == "0"

    cursor = look(instance, failure_sensor(), watched)
    look(instance, failure_sensor(), cursor)
    look(instance, failure_sensor(), watched)

    (text,) = receivers.posted
    assert text.startswith("*dandi_pipeline: failure, dandi*\n\u2022 1 dandiset failed (all): 000002: ")
    assert text.endswith(f"(https://dagster.example.org/runs/{run_id})")
    assert "400" in text
    (mail,) = receivers.mailbox.messages
    assert (mail["To"], mail["From"]) == ("a@example.org, b@example.org", "mirror@example.org")
    assert mail["Subject"] == "dandi_pipeline: failure, dandi"
    assert str(run_id) in mail.get_content()
    assert [request.target for request in receivers.chat.requests] == [SECRET_PATH]
    assert_secret(caplog.text, repr(site.settings), *everything_below(site.settings.dagster_home))


def assert_secret(*texts: str) -> None:
    for text in texts:
        assert "s3cret-hook" not in text
        assert PASSWORD not in text


def everything_below(folder: Path) -> list[str]:
    return [file.read_bytes().decode(errors="replace") for file in folder.rglob("*") if file.is_file()]


def test_what_a_person_interrupted_or_mistyped_is_not_told_nor_what_succeeds(
    site: Site, instance: dg.DagsterInstance, receivers: Receivers, watched: str
) -> None:
    assert site.sync(partitions=("000001",)).exit_code == 0
    with pytest.raises(PartitionUnknown):
        site.sync(partitions=("999999",))
    look(instance, failure_sensor(), watched)
    assert receivers.posted == []


def test_a_guard_that_bit_is_a_kind_of_its_own(
    site: Site, instance: dg.DagsterInstance, receivers: Receivers, watched: str
) -> None:
    site.sync()
    site.world.dandisets.clear()
    with pytest.raises(MassDeletionRefused):
        site.sync()
    look(instance, failure_sensor(), watched)
    (text,) = receivers.posted
    assert text.startswith(
        "*dandi_pipeline: guard, dandi*\n\u2022 the sync of all failed: dandi lists no dandiset at all"
    )


def test_a_run_that_dagster_launches_again_is_told_of_when_that_is_not_to_be(
    instance: dg.DagsterInstance, receivers: Receivers, watched: str
) -> None:
    @dg.job
    def nightly() -> None: ...

    run = instance.create_run_for_job(nightly)
    instance.report_run_failed(run)
    assert instance.get_runs()[0].tags["dagster/will_retry"] == "true"
    cursor = look(instance, failure_sensor(), watched)
    assert receivers.posted == []
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    look(instance, failure_sensor(jobs=["others"]), cursor)
    assert receivers.posted == []
    look(instance, failure_sensor(), cursor)
    assert "the run failed outside of its steps" in receivers.posted[0]


def test_what_failed_before_the_first_look_is_not_told_and_what_fails_then_is(
    instance: dg.DagsterInstance, receivers: Receivers
) -> None:
    @dg.job(tags={"dagster/max_retries": "0"})
    def nightly() -> None: ...

    cursor = None
    for _ in range(2):
        run = instance.create_run_for_job(nightly, tags=nightly.run_tags)
        instance.report_run_failed(run)
        cursor = look(instance, failure_sensor(), cursor)
    (text,) = receivers.posted
    assert text.splitlines()[1:] == [
        f"\u2022 the run failed outside of its steps (https://dagster.example.org/runs/{run.run_id})"
    ]


def test_a_hook_tells_of_anybodys_job_at_once_and_the_sensor_does_not_again(
    instance: dg.DagsterInstance, receivers: Receivers, watched: str
) -> None:
    @dg.op
    def load() -> None:
        raise ValueError("<no disk>")

    @dg.job(hooks={alert_on_failure})
    def nightly() -> None:
        load()

    assert not nightly.execute_in_process(instance=instance, raise_on_error=False).success
    (text,) = receivers.posted
    assert text.startswith(
        "*dandi_pipeline: failure, nightly*\n\u2022 failed in load: ValueError: &lt;no disk&gt; (http"
    )
    look(instance, failure_sensor(), watched)
    assert len(receivers.posted) == 1


def test_a_stale_source_is_told_after_a_grace_and_each_day(
    site: Site, instance: dg.DagsterInstance, receivers: Receivers
) -> None:
    sensor, now = staleness_sensor([site.source]), datetime.now(timezone.utc)
    assert json.loads(look(instance, sensor, None)).keys() == {"dandi"}
    assert receivers.posted == []
    for ago in (timedelta(minutes=11), timedelta(minutes=11), timedelta(days=1, hours=1)):
        look(instance, sensor, json.dumps({"dandi": (now - ago).isoformat()}))
    (text,) = receivers.posted
    assert text.startswith(
        "*dandi_pipeline: staleness, dandi*\n\u2022 overdue: never looked at, to be looked at every 15m;"
    )

    site.sync()
    assert look(instance, sensor, json.dumps({"dandi": now.isoformat()})) == "{}"


def test_a_check_that_fails_twice_is_told_and_one_that_a_guard_holds_back_at_once(
    site: Site, instance: dg.DagsterInstance, receivers: Receivers
) -> None:
    sensor = staleness_sensor([site.source])
    failed_check(instance, "dandi: no answer in 6 attempts", at=1)
    look(instance, sensor, None)
    assert receivers.posted == []
    failed_check(instance, "dandi: no answer in 6 attempts", at=2)
    look(instance, sensor, None)
    assert receivers.posted == [
        "*dandi_pipeline: failure, dandi*\n\u2022 the check failed: dandi: no answer in 6 attempts"
    ]

    site.sync()
    site.world.dandisets.clear()
    with dg.build_sensor_context(instance) as context:
        checks = site.definitions.resolve_sensor_def("dandi_changes")
        with pytest.raises(CheckFailed) as bitten:
            checks.evaluate_tick(context)
    failed_check(instance, str(bitten.value), at=3)
    look(instance, sensor, None)
    assert receivers.posted[1].startswith(
        "*dandi_pipeline: guard, dandi*\n\u2022 the check failed: dandi lists no dandiset at all"
    )


def failed_check(instance: dg.DagsterInstance, message: str, *, at: int) -> None:
    """Let a check of the archive have failed, as the daemon writes it down."""
    newer = find_spec("dagster._core.remote_origin") is not None
    origins = import_module(f"dagster._core.{'remote_origin' if newer else 'remote_representation.origin'}")
    target = LoadableTargetOrigin(module_name="dandi_pipeline.definitions")
    location = origins.ManagedGrpcPythonEnvCodeLocationOrigin(target, "dandi_pipeline")
    origin = origins.RemoteInstigatorOrigin(origins.RemoteRepositoryOrigin(location, "__repository__"), "dandi_changes")
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData())
    if not instance.all_instigator_state():
        instance.add_instigator_state(state)
    try:
        raise CheckFailed(message)
    except CheckFailed:
        error = serializable_error_info_from_exc_info(sys.exc_info())
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            state.name,
            InstigatorType.SENSOR,
            TickStatus.FAILURE,
            float(at),
            error=error,
            selector_id=state.selector_id,
        )
    )


def test_a_kind_and_a_source_have_one_message_an_hour_and_what_comes_meanwhile_is_in_the_next(
    site: Site, receivers: Receivers
) -> None:
    alerts = Alerts(receivers.settings, site.settings.dagster_home)

    def post(minutes: int, *lines: str, kind: str = "failure", source: str = "dandi") -> int:
        told = [Alert(kind, source, line, line) for line in lines]
        return alerts.post(told, now=NOON + timedelta(minutes=minutes))

    site.settings.dagster_home.mkdir(exist_ok=True)
    assert [post(0, "a"), post(1, "a"), post(2, "b", "c"), post(59)] == [2, 0, 0, 0]
    assert [post(3, "a", source="notion"), post(3, "a", kind="guard")] == [2, 2]
    assert [post(60), post(61, "b")] == [2, 0]
    assert receivers.posted[0] == "*dandi_pipeline: failure, dandi*\n\u2022 a"
    assert receivers.posted[3:] == ["*dandi_pipeline: failure, dandi*\n\u2022 b\n\u2022 c"]
    assert len(receivers.mailbox.messages) == 4

    assert post(200, *(f"{number:02}" for number in range(30))) == 2
    assert receivers.posted[4].splitlines()[-1] == "\u2022 \u2026 and 20 more"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answer(status=404, body=b"no_service at " + SECRET_PATH.encode()), r"answered 404 no_service at \*\*\*"),
        (reset, "Connection reset"),
    ],
)
def test_what_a_channel_did_not_take_is_sent_again_on_that_one_alone(
    site: Site, receivers: Receivers, step: Step, reason: str
) -> None:
    site.settings.dagster_home.mkdir(exist_ok=True)
    alerts, told = Alerts(receivers.settings, site.settings.dagster_home), [Alert("failure", "dandi", "a", "1")]
    receivers.chat.steps = [step, answer(body=b"ok")]

    with pytest.raises(AlertNotSent, match=reason) as failed:
        alerts.post(told, now=NOON)
    assert_secret(str(failed.value))
    assert alerts.post(told, now=NOON) == 1
    assert alerts.post(told, now=NOON) == 0
    assert (len(receivers.posted), len(receivers.mailbox.messages)) == (2, 1)


def test_a_message_that_cannot_be_sent_fails_the_tick_and_is_tried_again(
    site: Site, instance: dg.DagsterInstance, receivers: Receivers, watched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_SMTP_PASSWORD", "wr0ng-one")
    site.archive.faults.add("status", status=400, path="dandisets/000002/versions")
    site.sync()
    with pytest.raises(CheckFailed, match="took no message: SMTPAuthenticationError") as failed:
        look(instance, failure_sensor(), watched)
    error = serializable_error_info_from_exc_info((type(failed.value), failed.value, failed.tb))
    assert "wr0ng-one" not in str(error)
    monkeypatch.setenv("ALERT_SMTP_PASSWORD", PASSWORD)
    look(instance, failure_sensor(), watched)
    assert (len(receivers.posted), len(receivers.mailbox.messages)) == (1, 1)


def test_nobody_is_told_unless_it_is_configured(
    site: Site, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {sensor.name for sensor in build_alerts().sensors or ()} == {"failure_alerts", "staleness_alerts"}
    monkeypatch.delenv("ALERT_WEBHOOK_URL")
    monkeypatch.delenv("ALERT_EMAIL_TO")
    assert not build_alerts().sensors
    assert receivers.posted == []


def test_the_documents_example_takes_the_sensor_and_the_hook_into_anybodys_definitions() -> None:
    (block,) = re.findall(
        r"```python\n(.*?)```", Document(CHECKOUT / "docs" / "operating.md").section("Alerts"), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(block, names)
    defs: dg.Definitions = names["defs"]
    assert defs.resolve_sensor_def("failure_alerts").default_status is dg.DefaultSensorStatus.RUNNING
    assert alert_on_failure in defs.resolve_job_def("nightly").hook_defs
