"""A small OpenID Connect provider on loopback: discovery, code flow with PKCE, and ID tokens signed with real keys.

It lets in whoever `person` is, without asking, and can be told to misbehave.
"""

import base64
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import uvicorn
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "tunegate", "only between these two"
Claims = dict[str, Any]


class OwnProvider:
    """Behind a server of its own. `person`: the claims of who logs in. `change` and `sign` are what it does wrong."""

    def __init__(self) -> None:
        self.key, self.person = (
            RSAKey.generate_key(2048, {"kid": "one"}),
            {"sub": "42", "preferred_username": "auditor"},
        )
        self.change: Callable[[Claims], Claims] = dict
        self.sign: Callable[[Claims], str | None] = self.signed
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[dict[str, str]] = []
        routes = [
            Route("/.well-known/openid-configuration", self.describe),
            Route("/keys", self.keys),
            Route("/authorize", self.authorize),
            Route("/token", self.token, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def start(self) -> None:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.issuer = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        self.claimed_issuer = self.issuer

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)

    def signed(self, claims: Claims) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)

    async def describe(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.claimed_issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        """Whoever comes is logged in already; the question is kept with the code."""
        asked = dict(request.query_params)
        self.asked.append(asked)
        refused = asked["client_id"] != CLIENT or asked["response_type"] != "code" or "openid" not in asked["scope"]
        if refused or asked["code_challenge_method"] != "S256" or not asked["nonce"]:
            return Response("wrong question", 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def token(self, request: Request) -> Response:
        """A code is worth one token, for this client, this address and whoever knows the verifier."""
        form = await request.form()
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self.codes.pop(str(form["code"]), None)
        challenge = create_s256_code_challenge(str(form["code_verifier"]))
        if (
            asked is None
            or request.headers.get("authorization") != f"Basic {basic}"
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            **self.person,
        }
        token = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 60}
        signed = self.sign(self.change(claims))
        return JSONResponse(token if signed is None else {**token, "id_token": signed})
