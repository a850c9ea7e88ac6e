"""Logging in with an OpenID Connect provider: code flow with PKCE (S256), state and nonce. Authlib does the protocol.

1. The provider says who somebody is. What they may do is the ledger's to say: a claim names a user whom an admin added,
   and nobody becomes a user by logging in.
2. An ID token counts when a key of the provider signed it (never a shared secret, never `none`), when it is from this
   issuer, for this client, not expired, and answers this browser's own question (nonce).
3. A question belongs to the browser that asked it, is answered once, and is forgotten after an hour.
4. The provider's tokens are read once and not kept.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from anyio import from_thread
from pydantic import Field, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response

from tunegate.house import House
from tunegate.users import SignedIn, named, refuse_sign_in
from tunegate_core.config.loading import load_yaml, validate
from tunegate_core.config.schema import Block
from tunegate_core.errors import ConfigError, Denied, NotFound, TunegateError

FILE, SECRET = "oidc.yaml", "TUNEGATE_OIDC_SECRET"
DISCOVERY = "/.well-known/openid-configuration"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
SIGNED_WITH = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
PATIENCE = 10.0  # seconds for one answer of the provider
HERE = ("127.0.0.1", "localhost", "::1")

log = logging.getLogger(__name__)


class Unreachable(TunegateError):
    """The provider can't be asked now, or says nothing that OpenID Connect knows."""


class Settings(Block):
    """What `oidc.yaml` in the home says. The client's secret, where it has one, is $TUNEGATE_OIDC_SECRET."""

    issuer: str
    client_id: str = Field(min_length=1)
    claim: str = Field(default="sub", min_length=1)
    users: dict[str, str] | None = None
    redirect: str | None = None

    @field_validator("issuer", "redirect")
    @classmethod
    def reached_safely(cls, value: str | None) -> str | None:
        """Over TLS, or on this machine."""
        if value is not None and not is_safe(value):
            raise ValueError("expected an https address (http only on this machine)")
        return value

    @model_validator(mode="after")
    def subjects_are_no_names(self) -> Self:
        """`sub` is an id of the provider's own, so it needs the table of users."""
        if self.claim == "sub" and not self.users:
            raise ValueError("the claim sub names nobody here; give users: {SUB: NAME}, or another claim")
        return self

    @property
    def place(self) -> str:
        """The provider's host, for people."""
        return urlsplit(self.issuer).netloc


class Provider:
    """One provider, asked by this console as its client. Safe to share between threads."""

    def __init__(self, settings: Settings, secret: str | None):
        from authlib.integrations.starlette_client import OAuth

        self.settings = settings
        self._client: Any = OAuth().register(
            name="oidc",
            client_id=settings.client_id,
            client_secret=secret,
            server_metadata_url=settings.issuer.rstrip("/") + DISCOVERY,
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "timeout": PATIENCE,
                "token_endpoint_auth_method": "client_secret_basic" if secret else "none",
            },
        )

    def ask(self, request: Request, back: str) -> Response:
        """Send the browser to the provider, which sends it to `back`. Raises Unreachable."""
        asked: Response = _waited(self._ask, request, self.settings.redirect or back)
        return asked

    def answer(self, house: House, request: Request) -> SignedIn:
        """The user who came back. Raises Denied, recorded, and Unreachable."""
        from authlib.integrations.base_client import MismatchingStateError, OAuthError
        from joserfc.errors import JoseError

        try:
            claims = _waited(self._claims, request)
        except MismatchingStateError:
            raise refuse_sign_in(
                house, "oidc-state", "this answer belongs to no login that this browser began; log in again"
            ) from None
        except OAuthError:
            raise refuse_sign_in(house, "oidc-provider", f"{self.settings.place} did not let you in") from None
        except JoseError as error:
            log.warning("an ID token of %s was refused: %s", self.settings.issuer, type(error).__name__)
            claims = None
        if claims is None:
            raise refuse_sign_in(
                house, "oidc-token", f"what {self.settings.place} said of you can't be relied on", is_known=True
            )
        return self._user(house, claims)

    def _user(self, house: House, claims: Mapping[str, Any]) -> SignedIn:
        claim, value = self.settings.claim, claims.get(self.settings.claim)
        if not isinstance(value, str) or (claim == "email" and claims.get("email_verified") is not True):
            said = "no verified email" if claim == "email" else f"no {claim}"
            raise self._unknown(house, f"{self.settings.place} says {said} of you; ask an admin")
        name = value if self.settings.users is None else self.settings.users.get(value)
        try:
            return named(house, name or "")
        except NotFound:
            raise self._unknown(house, f"{value} is no user here; ask an admin to add you") from None

    @staticmethod
    def _unknown(house: House, why: str) -> Denied:
        return refuse_sign_in(house, "oidc-user", why, is_known=True)

    async def _ask(self, request: Request, back: str) -> Response:
        await self._described()
        asked: Response = await self._client.authorize_redirect(request, back)
        return asked

    async def _claims(self, request: Request) -> Mapping[str, Any] | None:
        """What the provider vouches for; None when it vouches for nothing, or another one answered (RFC 9207)."""
        await self._described()
        issuer = self.settings.issuer
        wanted = {
            "iss": {"essential": True, "values": [issuer]},
            "aud": {"essential": True, "values": [self.settings.client_id]},
        }
        token = await self._client.authorize_access_token(request, claims_options=wanted)
        if request.query_params.get("iss", issuer) != issuer:
            return None
        claims: Mapping[str, Any] | None = token.get("userinfo")
        return claims

    async def _described(self) -> None:
        """The provider's own description, read once. Raises Unreachable when it is somebody else's, or unsafe."""
        found = await self._client.load_server_metadata()
        wrong = [name for name in ENDPOINTS if not is_safe(str(found.get(name)))]
        if found.get("issuer") != self.settings.issuer or wrong:
            found.clear()
            raise Unreachable(
                f"{self.settings.place} describes itself as another, or names no https address for {wrong}"
            )
        offered = found.get("id_token_signing_alg_values_supported") or ["RS256"]
        found["id_token_signing_alg_values_supported"] = [name for name in offered if name in SIGNED_WITH]


def provider_of(house: House) -> Provider | None:
    """The provider that the home names; None when it names none. Raises ConfigError."""
    path = house.home / FILE
    return Provider(read_settings(path), os.environ.get(SECRET) or None) if path.exists() else None


def read_settings(path: Path) -> Settings:
    """The file, checked. Raises ConfigError."""
    return validate(Settings, *load_yaml(path, ConfigError), path, ConfigError)


def is_safe(address: str) -> bool:
    """Whether nobody on the way can read or change what is said there."""
    parts = urlsplit(address)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in HERE))


def _waited(ask: Any, *given: Any) -> Any:
    """What the provider answers, from a page's thread. Raises Unreachable, and what Authlib says about the protocol."""
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError

    try:
        return from_thread.run(ask, *given)
    except (AuthlibBaseError, JoseError, TunegateError):
        raise
    except Exception as error:  # of the network, and of whatever a foreign server may send
        log.warning("the OpenID Connect provider can't be asked", exc_info=error)
        raise Unreachable("the login provider can't be asked now; try again later, or use your password") from error
