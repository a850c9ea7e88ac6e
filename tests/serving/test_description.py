"""The description says what the endpoint does, and no request made from it, or against it, finds a fault."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from starlette.routing import Route

from serving.app import build_gateway
from serving.description import FIELDS, describe
from serving.endpoints import ENDPOINTS
from tests.serving.conftest import World, bearer, grant
from tests.serving.fake_upstream import FakeEngine
from tunegate_core.snapshot import engine_name

ASKED = [
    (method, path, mode)
    for path, methods in describe()["paths"].items()
    for method, operation in methods.items()
    for mode in (("positive", "negative") if {"parameters", "requestBody"} & operation.keys() else ("positive",))
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, signer: Any, socket: Any, migrated: Any) -> Iterator[str]:
    """One gateway for all that is tried."""
    engine = FakeEngine(names={engine_name(grant(subject)) for subject in ("bot@1", "bot@2")})
    socket[0].engine = engine
    with World(tmp_path_factory.mktemp("described"), signer, engine, socket[1], migrated).gateway() as gateway:
        yield gateway.url


@pytest.fixture(scope="module")
def described() -> Any:
    """The description as schemathesis reads it; with names that exist, else hardly a request would reach the engine."""
    import schemathesis

    description = describe()
    description["components"]["schemas"]["Model"]["enum"] = ["bot", "bot@1", "nobody"]
    return schemathesis.openapi.from_dict(description)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_no_request_finds_a_fault(method: str, path: str, mode: str, described: Any, endpoint: str) -> None:
    """Requests that fit the description, and others: each answer has a described status, type, form and headers, and
    none is given without a key."""
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    checked = [
        *(not_a_server_error, checks.status_code_conformance, checks.content_type_conformance, checks.ignored_auth),
        *(checks.response_schema_conformance, checks.response_headers_conformance, checks.unsupported_method),
    ]
    key = {"Authorization": f"Bearer {bearer()}"}

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(described[path][method.upper()].as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=endpoint, headers=key, checks=checked, timeout=20)

    ask()


def test_every_path_is_described(world: World) -> None:
    world.publish()
    routes = [route for route in build_gateway(world.settings()).routes if isinstance(route, Route)]
    found = {(r.path, method.lower()) for r in routes for method in r.methods or () if method != "HEAD"}
    assert found == {(path, method) for path, methods in describe()["paths"].items() for method in methods}


def test_every_field_is_described() -> None:
    assert set(FIELDS) == {field for endpoint in ENDPOINTS for field in endpoint.fields}


def test_it_is_openapi() -> None:
    from jsonschema import Draft202012Validator

    for schema in describe()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
