"""One request by one person, as a page sees it: what was asked, who asked, and how to answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from governance.roles import Action
from tunegate.console.compared import Compared
from tunegate.console.logins import Login, Logins
from tunegate.console.oidc import Provider
from tunegate.console.projection import Projection
from tunegate.house import House
from tunegate.users import SignedIn, acting, deny
from tunegate_core.errors import BadInput, Denied

LONGEST_REASON = 2_000
MOST_NAMED = 100  # characters of what was asked for
NAVIGATION: tuple[tuple[str, str, Action], ...] = (
    ("Overview", "", "view"),
    ("Releases", "releases", "view"),
    ("Routes", "routes", "view"),
    ("Runs", "runs", "view"),
    ("Data", "data", "view"),
    ("Policies", "policies", "view"),
    ("Ledger", "ledger", "view"),
    ("People", "people", "view"),
    ("Feedback", "feedback", "view"),
    ("Compare answers", "annotate", "annotate"),
)


@dataclass(frozen=True)
class Desk:
    """What all pages share. `provider`: where else people may log in."""

    house: House
    logins: Logins
    projection: Projection
    compared: Compared
    templates: Environment
    provider: Provider | None


@dataclass(frozen=True)
class Visit:
    """A request. `user` and `login` are None only on pages that need none; `form` holds the fields of a POST."""

    desk: Desk
    request: Request
    user: SignedIn | None
    login: Login | None
    form: Mapping[str, str]

    @property
    def house(self) -> House:
        """The house, for reading."""
        return self.desk.house

    def acting(self) -> House:
        """The house in the hands of who is logged in: what is recorded has their key as its actor. Raises BadInput for
        somebody whose key lies elsewhere."""
        return acting(self.desk.house, self.person)

    def deny(self, rule: str, why: str, about: str | None = None) -> Denied:
        """Record that this person may not do this now; the error to raise."""
        by = self.user.user_id if self.user else None
        return deny(
            self.desk.house, self.request.method + " " + self.request.url.path[:MOST_NAMED], about, by, rule, why
        )

    @property
    def person(self) -> SignedIn:
        """Who is logged in. Raises BadInput on a page for everybody."""
        if self.user is None:
            raise BadInput("this needs somebody who is logged in")
        return self.user

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the address."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        """A whole number from 0 in the address; the default for anything else."""
        given = self.query(name)
        return int(given) if given.isascii() and given.isdigit() and len(given) < 16 else default

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def reason(self) -> str:
        """The form's reason. Raises BadInput without one."""
        reason = self.form.get("reason", "").strip()
        if not 0 < len(reason) <= LONGEST_REASON:
            raise BadInput(f"a decision needs a reason of 1 to {LONGEST_REASON} characters; found {len(reason)}")
        return reason

    def url(self, *parts: object, **query: object) -> str:
        """An address of the console, wherever it is mounted."""
        path = "/".join(quote(str(part), safe="@:") for part in parts if part != "")
        given = "&".join(f"{name}={quote(str(value), safe='@:')}" for name, value in query.items() if value)
        return f"{self.request.scope.get('root_path', '')}/{path}{'?' + given if given else ''}"

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """The template as a page."""
        said = list(self.login.said) if self.login else []
        if self.login is not None:
            self.login.said.clear()
        text = self.desk.templates.get_template(template).render(
            visit=self,
            user=self.user,
            url=self.url,
            csrf=self.csrf(),
            said=said,
            navigation=self._navigation(),
            **values,
        )
        return HTMLResponse(text, status)

    def go(self, *parts: object, said: str = "") -> Response:
        """Go on to another page (303), which shows `said` once."""
        if said and self.login is not None:
            self.login.said.append(said)
        return RedirectResponse(self.url(*parts), 303)

    def csrf(self) -> str:
        """What this browser's forms must send back."""
        return self.login.csrf if self.login else str(self.request.session.get("csrf", ""))

    def _navigation(self) -> list[tuple[str, str, bool]]:
        here = self.request.url.path.removeprefix(self.request.scope.get("root_path", "")).strip("/").split("/")[0]
        allowed = [entry for entry in NAVIGATION if self.user and self.user.may(entry[2])]
        return [(label, self.url(path), path == here) for label, path, _ in allowed]


Handler = Callable[[Visit], Response]


@dataclass(frozen=True)
class Page:
    """A function that answers at a path. `right`: the action that one's roles must allow
    (governance.roles); None: everybody, also before the login."""

    path: str
    handler: Handler
    right: Action | None = "view"
    method: Literal["GET", "POST"] = "GET"
