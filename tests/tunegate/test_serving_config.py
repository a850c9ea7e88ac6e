"""What an endpoint's config says reaches the gateway."""

from pathlib import Path
from typing import Any

import pytest

from serving.told import LangfuseSettings, TelemetrySettings
from tunegate.publishing import publish
from tunegate.serve_verbs import gateway as gateway_verb
from tunegate.serving import _replica, _telemetry, gateway, gateway_settings, serve, upstream_names
from tunegate_core.config.endpoint import Endpoint, load_endpoint
from tunegate_core.errors import BadInput, ConfigError

LANGFUSE = "telemetry: {langfuse: {url: http://lf, public_key: pk}}"


def loaded(text: str, folder: Path) -> Endpoint:
    (folder / "endpoint.yaml").write_text(text)
    return load_endpoint(folder / "endpoint.yaml")


def test_nobody_is_told_unless_it_is_said(tmp_path: Path) -> None:
    assert _telemetry(Endpoint()) is None
    assert _telemetry(loaded("telemetry: {}", tmp_path)) is None


def test_who_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
    assert _telemetry(loaded("telemetry: {otlp_url: http://c}", tmp_path)) == TelemetrySettings("http://c")
    langfuse = LangfuseSettings("http://lf", "pk", "sk")
    assert _telemetry(loaded(LANGFUSE, tmp_path)) == TelemetrySettings(None, langfuse)
    assert "sk'" not in repr(langfuse)


def test_a_secret_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGFUSE_SECRET_KEY", raising=False)
    with pytest.raises(BadInput, match="LANGFUSE_SECRET_KEY"):
        _telemetry(loaded(LANGFUSE, tmp_path))


def test_who_gets_alerts(told: Any, tmp_path: Path) -> None:
    told.house.ledger.checkpoint()  # makes the key
    chosen = loaded("alerts: {webhook: https://chat.example/hooks/1}", tmp_path)
    assert gateway_settings(told.house, chosen, lambda _: [], True).webhook == "https://chat.example/hooks/1"
    assert gateway_settings(told.house, Endpoint(), lambda _: [], True).webhook is None
    with pytest.raises(ConfigError, match="webhook"):
        loaded("alerts: {webhook: chat.example}", tmp_path)


def test_shadows_memory_and_redaction_are_as_the_config_says(told: Any, tmp_path: Path) -> None:
    from serving.settings import ShadowBudget
    from tunegate_core.redact import redact

    told.house.ledger.checkpoint()
    usual = gateway_settings(told.house, Endpoint(), lambda _: [], True)
    assert (usual.shadows, usual.most_bytes) == (ShadowBudget(), 2**30)
    assert usual.redact is redact and usual.judge is None
    text = "{shadow: {tokens_per_minute: 50, at_once: 1}, most_memory_mib: 64, records: {redaction: patterns}}"
    said = gateway_settings(told.house, loaded(text, tmp_path), lambda _: [], True)
    assert (said.shadows, said.most_bytes, said.redact) == (ShadowBudget(50, 1), 2**26, redact)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("records: {redaction: patern}", "there is no 'patern' .did you mean 'patterns'"),
        ("records: {redaction: presidio}", r"pip install 'tunegate\[presidio\]'"),
        ("judge: {url: http://j/v1, model: m, key_env: NOT_SET_9}", "NOT_SET_9"),
        (LANGFUSE, "LANGFUSE_SECRET_KEY"),
    ],
)
def test_what_the_config_names_and_is_not_there_is_told_before_anything_starts(
    text: str, why: str, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        raise AssertionError("something was started")

    for name in ("deployed", "StaticUpstreams", "build_gateway", "publish"):
        monkeypatch.setattr(f"tunegate.serving.{name}", started)
    monkeypatch.delenv("LANGFUSE_SECRET_KEY", raising=False)
    with pytest.raises(BadInput, match=why):
        serve(told.house, loaded(text, tmp_path), "127.0.0.1", 1)
    with pytest.raises(BadInput, match=why):
        gateway(told.house, loaded(text, tmp_path), ["http://127.0.0.1:9"], "", "127.0.0.1", 1)


def test_how_tool_calls_are_read_reaches_the_engine(told: Any, tmp_path: Path) -> None:
    from serving.engine import command
    from tunegate_core.canonical import digest
    from tunegate_core.snapshot import Grant

    told.house.ledger.checkpoint()
    same = digest(b"x")
    grants = [Grant(subject="a@1", adapter=same, base=same, template=same, statement=same, rank=4)]
    lines = [
        command(_replica(told.house, endpoint, grants).engine, "127.0.0.1", 1)
        for endpoint in (Endpoint(), loaded("engine: {tool_parser: null}", tmp_path))
    ]
    assert lines[0][lines[0].index("--tool-call-parser") + 1] == "hermes"
    assert "--enable-auto-tool-choice" in lines[0] and "--enable-auto-tool-choice" not in lines[1]
    with pytest.raises(ConfigError, match="tool_parser"):
        loaded("engine: {tool_parser: ../x}", tmp_path)


def test_hosts_of_media_reach_gateway_and_engine(told: Any, tmp_path: Path) -> None:
    from tunegate_core.canonical import digest
    from tunegate_core.snapshot import Grant

    told.house.ledger.checkpoint()
    same = digest(b"x")
    grants = [Grant(subject="a@1", adapter=same, base=same, template=same, statement=same, rank=4)]
    chosen = loaded("engine: {media_domains: [images.example.org]}", tmp_path)
    for endpoint, hosts in ((Endpoint(), ()), (chosen, ("images.example.org",))):
        assert gateway_settings(told.house, endpoint, lambda _: [], True).caps.media_domains == hosts
        assert _replica(told.house, endpoint, grants).engine.media_domains == hosts
    for wrong in ("https://example.org", "example.org/a", "*.example.org", "Example.org", "a:80", "''"):
        with pytest.raises(ConfigError, match="media_domains"):
            loaded(f"engine: {{media_domains: [{wrong!r}]}}", tmp_path)


def test_a_rate_for_a_route_that_is_not_there_is_told(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told.judge(told.plan(1), (60, 4, 200))
    monkeypatch.setattr("tunegate.serving._run", lambda *_, **__: None)
    for text in ("rates: {default: {prompt: 1}, bot: {output: 2}}", "rates: {bto: {output: 2}}"):
        gateway(told.house, loaded(text, tmp_path), ["http://127.0.0.1:9"], "", "127.0.0.1", 1)
    assert caplog.messages == ["rates for bto: no release answers there yet; routes there are: bot"]


def test_a_gateway_says_what_its_upstreams_must_have(told: Any) -> None:
    from tunegate_core.snapshot import engine_name

    for version in (1, 2):
        told.judge(told.plan(version), (60, 4, 200))
    granted = publish(told.house).grant_by_subject()
    assert set(granted) == {"bot@1", "bot@2"}
    assert upstream_names(told.house) == {"bot@1": engine_name(granted["bot@1"])}  # the other has no place on a route


def test_a_gateway_whose_engines_can_not_be_asked_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UPSTREAM_KEY", raising=False)
    with pytest.raises(BadInput, match="the variable UPSTREAM_KEY is empty"):
        gateway_verb(["http://127.0.0.1:9"], port=0, upstream_key="UPSTREAM_KEY")
    with pytest.raises(BadInput, match="expected http://HOST:PORT"):
        gateway_verb(["127.0.0.1:9"], port=0)
