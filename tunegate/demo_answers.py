"""The last part of the demonstration: a real endpoint, asked by the official client as any caller would.

It runs as `tunegate serve` in a process of its own on a free port of this machine, and is ended afterwards.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunegate.api_keys import create
from tunegate.house import House
from tunegate.recording import standing, verdict_of
from tunegate_core.errors import ResourcesUnavailable
from tunegate_core.records import Evidence

READY_SECONDS = 600
END_SECONDS = 90
LOOK_SECONDS = 0.5
ANSWER_TOKENS = 32


def ask_endpoint(house: House, route: str, questions: Sequence[str]) -> list[tuple[str, str]]:
    """What the route's endpoint answers to each, with the version that answered. Raises ResourcesUnavailable."""
    from openai import OpenAI

    key = create(house, "the demonstration", ("infer",), days=1)["key"]
    answers = []
    with endpoint(house) as url:
        client = OpenAI(base_url=f"{url}/v1", api_key=key)
        for question in questions:
            done = client.chat.completions.create(
                model=route,
                messages=[{"role": "user", "content": question}],
                max_tokens=ANSWER_TOKENS,
                temperature=0,
            )
            answers.append((done.choices[0].message.content or "", done.model))
    return answers


def learnt_items(house: House, version: str, task: str) -> list[str]:
    """The ids of a task's items that the base got wrong and `version` right, in the task's order."""
    verdict = verdict_of(house, standing(house, version))
    for blob in verdict.evidence if verdict else ():
        evidence = Evidence.parse(house.store.get(blob))
        if evidence.task == task:
            items = json.loads(house.store.get(evidence.samples))["items"]
            return [item["id"] for item in items if _scores(item) == (1.0, 0.0)]
    return []


def _scores(item: dict[str, Any]) -> tuple[float | None, float | None]:
    return item["arms"]["candidate"].get("score"), item["arms"]["base"].get("score")


@contextmanager
def endpoint(house: House) -> Iterator[str]:
    """The base URL of a `tunegate serve` that is ready; it is ended after the block. Raises ResourcesUnavailable."""
    port, log = free_port(), house.home / "serving" / "demonstration.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    house.progress("starting the endpoint", 0, 1)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tunegate", "serve", "--port", str(port)],
            stdout=out, stderr=out, env={**os.environ, "TUNEGATE_HOME": str(house.home)},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, log)
        house.progress("starting the endpoint", 1, 1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(END_SECONDS)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(LOOK_SECONDS)
    said = log.read_text(errors="replace").strip().splitlines()[-5:]
    raise ResourcesUnavailable(
        "the endpoint did not become ready; it said:\n" + "\n".join(said) + f"\nall of it: {log}"
    )
