"""What an endpoint's config says reaches the gateway."""

from pathlib import Path

import pytest

from serving.told import LangfuseSettings, TelemetrySettings
from tunegate.serving import _telemetry
from tunegate_core.config.endpoint import Endpoint, load_endpoint
from tunegate_core.errors import BadInput

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
