"""Settings are read once, refused whole when wrong, and frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tradewire.core import SettingsError, load_settings


@pytest.fixture(autouse=True)
def an_empty_folder_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("TRADEWIRE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deployment can override a shipped file without editing it."""
    (tmp_path / "tradewire.toml").write_text('[kafka]\nbootstrap_servers = "file:1"\nclient_id = "file"\n')
    monkeypatch.setenv("TRADEWIRE_KAFKA__BOOTSTRAP_SERVERS", "environment:1")

    settings = load_settings()
    assert ("environment:1", "file") == (settings.kafka.bootstrap_servers, settings.kafka.client_id)
    assert "argument:1" == load_settings(kafka={"bootstrap_servers": "argument:1"}).kafka.bootstrap_servers


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            '[kafka]\nbootstrap = "x"\n',
            "tradewire.toml: kafka.bootstrap: is not a setting; did you mean kafka.bootstrap_servers?",
        ),
        ('[kafak]\nclient_id = "x"\n', "tradewire.toml: kafak: is not a setting; did you mean kafka?"),
        ('[worker]\nflow_file = "x"\n', "worker.flow_file: is not a setting; did you mean worker.flows_file?"),
        ("[log]\nzzzzzz = 1\n", "log.zzzzzz: is not a setting; there are log.level, log.format"),
        ("[gateway]\nport = 0\n", "gateway.port"),
        ("[gateway\n", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(content: str, named: str, tmp_path: Path) -> None:
    """A misspelt setting that is silently ignored is an outage later."""
    (tmp_path / "tradewire.toml").write_text(content)

    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert named in str(refused.value)


def test_an_unknown_argument_is_no_mistake_of_a_file(tmp_path: Path) -> None:
    """The file that is there says nothing of it."""
    (tmp_path / "tradewire.toml").write_text('[kafka]\nclient_id = "x"\n')
    with pytest.raises(SettingsError, match=r"^kafka\.servers: is not a setting"):
        load_settings(kafka={"servers": "x"})


def test_an_unknown_environment_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists the keys of the section that was meant."""
    monkeypatch.setenv("TRADEWIRE_SINK__BATCH_ROWS", "5")

    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "TRADEWIRE_SINK__BATCH_ROWS is not a setting" in str(refused.value)
    assert "TRADEWIRE_SINK__BATCH_ROWS_MAX" in str(refused.value)


def test_a_named_file_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Falling back to defaults would hide the mistake."""
    monkeypatch.setenv("TRADEWIRE_CONFIG", "absent.toml")

    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load_settings()


@pytest.mark.parametrize(
    ("sections", "both"),
    [
        ({"kafka": {"sasl_mechanism": "PLAIN"}}, ("kafka.sasl_mechanism", "kafka.security_protocol")),
        ({"kafka": {"security_protocol": "SASL_SSL"}}, ("kafka.security_protocol", "kafka.sasl_mechanism")),
        ({"kafka": {"ssl_key_file": "k.pem"}}, ("kafka.ssl_certificate_file", "kafka.ssl_key_file")),
        ({"registry": {"username": "u"}}, ("registry.username", "registry.password")),
        (
            {"publisher": {"linger_ms": 1000, "delivery_timeout_ms": 1000}},
            ("publisher.linger_ms", "publisher.delivery_timeout_ms"),
        ),
        (
            {"sink": {"batch_age_ms_max": 20_000, "poll_interval_ms_max": 10_000}},
            ("sink.batch_age_ms_max", "sink.poll_interval_ms_max"),
        ),
        ({"gateway": {"port": 18123}}, ("clickhouse.port", "gateway.port")),
    ],
)
def test_a_contradiction_names_both_settings(sections: dict[str, Any], both: tuple[str, str]) -> None:
    """Whoever reads the message knows which two places to look at."""
    with pytest.raises(SettingsError) as refused:
        load_settings(**sections)
    assert [] == [name for name in both if name not in str(refused.value)]


def test_settings_cannot_be_changed_after_the_start() -> None:
    """What was validated is what runs."""
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.kafka.client_id = "other"


def test_secrets_do_not_show() -> None:
    """A printed or logged settings object gives no password away, the client's configuration does."""
    settings = load_settings(
        kafka={
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "PLAIN",
            "sasl_username": "u",
            "sasl_password": "hunter2",
        }
    )

    assert "hunter2" not in repr(settings)
    assert "hunter2" == settings.kafka.client_config()["sasl.password"]
