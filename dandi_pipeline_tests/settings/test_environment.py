"""The environment's settings have sensible defaults, and a wrong one is named in one line without its secrets."""

from pathlib import Path

import pytest

from dandi_pipeline.errors import ConfigurationError
from dandi_pipeline.mirror.database import dialect_of
from dandi_pipeline.mirror.sqlite import SqliteDialect
from dandi_pipeline.settings import MailServer, Settings


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    settings = Settings.from_environment({}, tmp_path)
    assert settings.dandi_api_url == "https://api.dandiarchive.org/api"
    assert settings.dagster_home == tmp_path / ".dagster_home"
    assert settings.mirror_database_url == f"sqlite:///{tmp_path}/.dagster_home/mirror.sqlite"
    assert settings.sources_path is None
    assert settings.credential("DANDI_API_KEY") is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_set_counts_and_paths_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("sources: []")
    environ = {
        "DANDI_API_URL": " http://127.0.0.1:8000/api/ ",
        "DANDI_API_KEY": "abc123\n",
        "DAGSTER_HOME": "home",
        "DANDI_PIPELINE_SOURCES": "mine.yaml",
        "MIRROR_DATABASE_URL": "sqlite:///data/mirror.sqlite",
    }
    settings = Settings.from_environment(environ, tmp_path)
    assert settings.dandi_api_url == "http://127.0.0.1:8000/api"
    assert settings.credential("DANDI_API_KEY") == "abc123"
    assert settings.dagster_home == tmp_path / "home"
    assert settings.sources_path == tmp_path / "mine.yaml"
    assert settings.mirror_database_url == f"sqlite:///{tmp_path}/data/mirror.sqlite"


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    names = ("DANDI_API_URL", "DANDI_API_KEY", "DAGSTER_HOME", "DANDI_PIPELINE_SOURCES", "MIRROR_DATABASE_URL")
    empty = Settings.from_environment(dict.fromkeys(names, " "), tmp_path)
    assert empty == Settings.from_environment({}, tmp_path)


def test_a_sources_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_text("sources: []")
    assert Settings.from_environment({}, tmp_path).sources_path == tmp_path / "sources.yaml"


@pytest.mark.parametrize("home", ["~", "~/", "~/deep/x"])
def test_a_tilde_is_the_users_folder_in_every_path(tmp_path: Path, home: str) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "s.yaml").touch()
    given = {"HOME": str(tmp_path / "user"), "DAGSTER_HOME": home, "DANDI_PIPELINE_SOURCES": "~/s.yaml"}
    settings = Settings.from_environment({**given, "MIRROR_DATABASE_URL": "sqlite:///~/m.sqlite"}, tmp_path / "other")
    assert settings.dagster_home == tmp_path / "user" / home[2:]
    assert settings.sources_path == tmp_path / "user" / "s.yaml"
    assert settings.mirror_database_url == f"sqlite:///{tmp_path}/user/m.sqlite"


@pytest.mark.parametrize("name", ["a b", "a%20b", "a#b", "a?b", "it's", "é", "100%", "~"])
def test_a_mirror_lies_where_its_folder_is_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    for environ in ({"DAGSTER_HOME": str(folder)}, {"MIRROR_DATABASE_URL": "sqlite:///mirror.sqlite"}):
        url = Settings.from_environment(environ, folder).mirror_database_url
        dialect = dialect_of(url, 1)
        assert isinstance(dialect, SqliteDialect)
        assert dialect.path == folder / "mirror.sqlite"


def test_the_mirror_moves_with_dagster_home(tmp_path: Path) -> None:
    settings = Settings.from_environment({"DAGSTER_HOME": "/srv/dagster"}, tmp_path)
    assert settings.mirror_database_url == "sqlite:////srv/dagster/mirror.sqlite"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h:5432/d", "postgresql+psycopg2://u:p@h:5432/d"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+psycopg2://u:p@h/d?sslmode=require"),
        ("PostgreSQL://h/d", "postgresql+psycopg2://h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d"),
        ("sqlite:////srv/mirror.sqlite", "sqlite:////srv/mirror.sqlite"),
    ],
)
def test_a_database_url_names_its_driver(tmp_path: Path, given: str, used: str) -> None:
    assert Settings.from_environment({"MIRROR_DATABASE_URL": given}, tmp_path).mirror_database_url == used


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DANDI_API_URL", "api.dandiarchive.org", "not an address; expected https://host/path"),
        ("DANDI_API_URL", "ftp://a.org/api", "not an address"),
        ("DANDI_API_URL", "https://", "not an address"),
        ("DANDI_API_URL", "https://a.org:hunter2/api", "not an address"),
        ("DANDI_API_URL", "https://a.org/a b", "not an address"),
        ("DANDI_API_URL", "https://me:hunter2@a.org/api", "with no user, password"),
        ("DANDI_API_URL", "https://a.org/api?key=hunter2", "with no user, password, query"),
        ("MIRROR_DATABASE_URL", "mysql://me:hunter2@h/d", "mysql:// is not supported; accepted: sqlite:///FILE"),
        ("MIRROR_DATABASE_URL", "postgresql+psycopg://me:hunter2@h/d", "is not supported"),
        ("MIRROR_DATABASE_URL", "/hunter2/mirror.sqlite", "a value without a scheme is not supported"),
        ("MIRROR_DATABASE_URL", "sqlite://", "needs a file of its own"),
        ("MIRROR_DATABASE_URL", "sqlite:///:memory:", "needs a file of its own"),
        ("MIRROR_DATABASE_URL", "sqlite:///file:x?uri=true", "needs a file of its own"),
        ("MIRROR_DATABASE_URL", "sqlite:///m.sqlite?timeout=1", "takes no options"),
        ("DAGSTER_HOME", "~no-such-user/x", "no such user"),
        ("DANDI_PIPELINE_SOURCES", "absent.yaml", "absent.yaml is not a file"),
        ("DANDI_PIPELINE_SOURCES", ".", "is not a file"),
        ("DAGSTER_HOME", "a-file", "a-file is not a directory"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    tmp_path: Path, variable: str, value: str, told: str
) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(ConfigurationError) as e:
        Settings.from_environment({variable: value}, tmp_path)
    message = str(e.value)
    assert message.startswith(f"{variable}: ")
    assert told in message
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_sources_file_that_is_no_file_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").mkdir()
    with pytest.raises(ConfigurationError, match=r"sources\.yaml is not a file"):
        Settings.from_environment({}, tmp_path)


@pytest.mark.parametrize("key", ["hunter2 hunter2", "hunter2\nX: y", "hunter2é"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(tmp_path: Path, key: str) -> None:
    settings = Settings.from_environment({"DANDI_API_KEY": key}, tmp_path)
    with pytest.raises(ConfigurationError, match=r"^DANDI_API_KEY: ") as e:
        settings.credential("DANDI_API_KEY")
    assert "hunter2" not in str(e.value)


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    environ = {"DANDI_API_KEY": "hunter2", "MIRROR_DATABASE_URL": "postgresql://me:hunter2@h/d"}
    assert "hunter2" not in repr(Settings.from_environment(environ, tmp_path))


def test_alerts_are_off_unless_a_webhook_or_an_address_is_named(tmp_path: Path) -> None:
    assert not Settings.from_environment({}, tmp_path).alerts.configured
    alerts = Settings.from_environment({"ALERT_EMAIL_TO": "a@b.org,c@d.org"}, tmp_path).alerts
    assert alerts.configured
    assert (alerts.email_from, alerts.mail_server) == ("a@b.org", MailServer("127.0.0.1", 25, tls=False))
    assert Settings.from_environment({"ALERT_WEBHOOK_URL": "https://x.org/s"}, tmp_path).alerts.configured


def test_a_mail_server_is_one_url_and_a_password_beside_it(tmp_path: Path) -> None:
    environ = {"ALERT_SMTP_URL": "smtps://me%40x.org@mail.x.org", "ALERT_SMTP_PASSWORD": "p w"}
    alerts = Settings.from_environment(environ, tmp_path).alerts
    assert alerts.mail_server == MailServer("mail.x.org", 465, tls=True, user="me@x.org", password="p w")
    assert "p w" not in repr(alerts)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALERT_WEBHOOK_URL", "hooks.slack.com/services/s3cret"),
        ("ALERT_WEBHOOK_URL", "https://u:s3cret@chat.example.org/x"),
        ("ALERT_WEBHOOK_URL", "ftp://chat.example.org/s3cret"),
        ("ALERT_EMAIL_TO", "s3cret"),
        ("ALERT_EMAIL_TO", "a@b.org s3cret@d.org"),
        ("ALERT_EMAIL_FROM", "a@b.org, s3cret@d.org"),
        ("ALERT_SMTP_URL", "mail.example.org"),
        ("ALERT_SMTP_URL", "smtp://me:s3cret@mail.example.org"),
        ("ALERT_SMTP_URL", "smtp://s3cret@mail.example.org"),
        ("ALERT_SMTP_URL", "smtp://mail.example.org:0"),
        ("ALERT_UI_URL", "s3cret"),
    ],
)
def test_a_wrong_setting_of_alerts_is_named_and_not_shown(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment({variable: value}, tmp_path)
    assert str(refused.value).startswith(f"{variable}: ")
    assert "s3cret" not in str(refused.value)
