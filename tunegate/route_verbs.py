"""The verbs that change or show what a route points to."""

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tunegate import views
from tunegate.arguments import AsJson, Note, Route, Version
from tunegate.house import House
from tunegate_core.errors import BadInput
from tunegate_core.snapshot import ALL

FIRST = "first"
PERCENTAGE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))? ?%")

verbs = typer.Typer()


class ShareOptional(TyperCommand):
    """A command whose `--canary` and `--shadow` may stand without their value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What follows is no share when it is another option, or NAME@N."""
        for option in ("--canary", "--shadow"):
            at = args.index(option) + 1 if option in args else 0
            if at and (at == len(args) or args[at].startswith("-") or "@" in args[at]):
                args = [*args[:at], FIRST, *args[at:]]
        return super().parse_args(ctx, args)


@verbs.command(cls=ShareOptional)
def promote(
    version: Version,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="[PERCENT]", help="Only this share of users, as in 10%; its first stage's when not given."
        ),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            metavar="[PERCENT]",
            help="See this share of requests, and answer none; its config's when not given; 0% ends it.",
        ),
    ] = None,
    reason: Note = None,
) -> None:
    """Let a release answer on its route: as champion, or beside it as canary or shadow."""
    from tunegate.routing import promote as run

    house = House.from_environment()
    if canary is not None and shadow is not None:
        raise BadInput("a version is canary or shadow, not both; give one of --canary and --shadow")
    if canary is not None:
        views.say(run(house, version, "canary", share_of(canary), reason))
    elif shadow is not None:
        views.say(run(house, version, "shadow", share_of(shadow), reason))
    else:
        views.say(run(house, version, "champion", reason=reason))


@verbs.command()
def rollback(route: Route, reason: Note = None) -> None:
    """End a route's canary; where there is none, return to the champion before."""
    from tunegate.routing import roll_back as run

    views.say(run(House.from_environment(), route, reason))


@verbs.command()
def kill(route: Route, reason: Note = None) -> None:
    """Stop every answer of a route at once."""
    from tunegate.routing import kill as run

    views.say(run(House.from_environment(), route, reason))


@verbs.command()
def unkill(route: Route, reason: Note = None) -> None:
    """Let a killed route answer again."""
    from tunegate.routing import unkill as run

    views.say(run(House.from_environment(), route, reason))


@verbs.command()
def routes(as_json: AsJson = False) -> None:
    """Show what each route points to, and how it was changed."""
    from tunegate.routing import overview

    views.show(overview(House.from_environment()), views.routes, as_json)


@verbs.command()
def publish(
    max_stale: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="Record how long serving may hear nothing.")
    ] = None,
    when_stale: Annotated[str | None, typer.Option(metavar="serve|refuse", help="Record what it does then.")] = None,
) -> None:
    """Write again what serving decides by; the verbs that change it have written it already."""
    from tunegate import publishing

    house = House.from_environment()
    if max_stale is not None or when_stale is not None:
        publishing.set_staleness(house, max_stale, when_stale)
    snapshot = publishing.publish(house)
    rule = snapshot.staleness
    views.say(
        f"wrote {publishing.snapshot_file(house)} of {snapshot.epoch} events: {len(snapshot.routes)} routes, "
        f"{len(snapshot.grants)} releases, {len(snapshot.keys)} API keys; stale after {rule.max_stale_s} s, then "
        f"{rule.then}"
    )


def share_of(given: str) -> int | None:
    """A share in basis points; None where the option stood alone. Raises BadInput."""
    return None if given == FIRST else basis_points(given)


def basis_points(share: str) -> int:
    """A share as in 10% or 2.5%, in basis points. Raises BadInput for anything else."""
    found = PERCENTAGE.fullmatch(share.strip())
    points = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else None
    if points is None or points > ALL:
        raise BadInput(f"'{share}' is no share; expected 0% to 100% in steps of 0.01%, with its sign, such as 10%")
    return points
