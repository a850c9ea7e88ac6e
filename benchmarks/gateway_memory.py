"""The gateway's memory after many requests against after few, everything on, before a fake engine that answers at once.

Half of the answers are streams; every request names another user, so anything kept for each would show.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gateway_added import BEARER, QUESTION, gateway, resident, upstream

CALLERS = 16


def measure(few: int, many: int) -> dict[str, Any]:
    """Resident MiB after so many requests and after so many in all, and their ratio."""
    import uvloop

    with (
        tempfile.TemporaryDirectory() as folder,
        upstream("quick") as engine,
        gateway(Path(folder), engine) as (url, pid),
    ):
        uvloop.run(ask(url, 0, few))
        before = resident(pid)
        uvloop.run(ask(url, few, many))
        after = resident(pid)
    return {
        f"mib_after_{few}": round(before / 2**20, 1),
        f"mib_after_{many}": round(after / 2**20, 1),
        "ratio": round(after / before, 3),
    }


async def ask(url: str, first: int, last: int) -> None:
    """The requests `first` to `last`, some at once. Raises RuntimeError for one that is not answered."""
    import aiohttp

    numbers = iter(range(first, last))
    headers = {"Authorization": f"Bearer {BEARER}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for number in numbers:
                body: dict[str, Any] = {**QUESTION, "safety_identifier": f"user-{number}", "stream": bool(number % 2)}
                if not body["stream"]:
                    del body["stream_options"]
                data = json.dumps(body).encode()
                async with session.post(f"{url}/v1/chat/completions", data=data, headers=headers) as answer:
                    await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"the gateway answered {answer.status}")

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
