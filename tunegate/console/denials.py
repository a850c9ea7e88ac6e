"""What somebody wanted to do and might not, as an event of the ledger."""

from tunegate.house import House

DENIED = "access-denied"


def record_denial(house: House, name: str, action: str, why: str, about: str = "") -> None:
    """Record it. `name`: the user's; `action`: method and path of the page; `about`: which release, route, ..."""
    house.ledger.append(DENIED, {"user": name, "action": action, "about": about, "why": why})
    house.ledger.checkpoint()
