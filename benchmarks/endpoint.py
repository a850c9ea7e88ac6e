"""The whole governed endpoint against bare vLLM and stock Ray Serve LLM; many adapters against one; loading them."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load import Seen, Target, load
from benchmarks.released import release
from benchmarks.servers import bare_vllm, governed, stock_ray
from tunegate import routing
from tunegate.house import House

ROUTES, VERSIONS = 8, 3
REQUESTS = {1: 4, 4: 16, 16: 48}  # of a load in a round, by its callers
ROUNDS = 2  # over all servers in turn, so that a machine that is slow for a while is slow for all of them
POLL_SECONDS = 0.01


def measure(folder: Path, parts: set[str], small: bool) -> dict[str, Any]:
    """`servers`, `by_load` and `ratios` for the part `ratios`; `adapters` for the part of that name."""
    house, base, adapters = release(folder, ROUTES, VERSIONS)
    one = {"bot-0": adapters["bot-0@1"]}
    report: dict[str, Any] = {"ratios": {}}
    with ExitStack() as started:
        target = started.enter_context(governed(house, ROUTES, folder))
        first = Target(target.url, target.models[:1], target.key)
        if "adapters" in parts:
            report["adapters"] = many_adapters(target, first, house, small)
            report["ratios"]["eight_adapters_vs_one"] = report["adapters"]["ratio"]
        if "ratios" in parts:
            others = {
                "vllm": started.enter_context(bare_vllm(base, one, folder)),
                "ray": started.enter_context(stock_ray(base, one, folder)),
            }
            servers = loads({**others, "tunegate": first}, small)
    if "ratios" in parts:
        by_load = {other: ratios(servers["tunegate"], servers[other]) for other in ("vllm", "ray")}
        report |= {"servers": servers, "by_load": by_load}
        report["ratios"]["vs_bare_vllm"] = min(by_load["vllm"].values())
        report["ratios"]["vs_stock_ray"] = min(by_load["ray"].values())
    return report


def loads(targets: Mapping[str, Target], small: bool) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by server and load, streamed and not. Raises RuntimeError when a request was not answered."""
    found: dict[str, dict[str, Seen]] = {name: {} for name in targets}
    for target in targets.values():
        run(target, 1, 1, stream=True)  # the first answer of an engine takes longer than any other
    for stream in (True, False):
        for callers, requests in REQUESTS.items():
            for _ in range(1 if small else ROUNDS):
                for name, target in targets.items():
                    seen = found[name].setdefault(f"{'stream' if stream else 'whole'}-{callers}", Seen())
                    seen.add(run(target, callers, callers if small else requests, stream))
    return {name: {load: seen.figures() for load, seen in own.items()} for name, own in found.items()}


def run(target: Target, callers: int, requests: int, stream: bool) -> Seen:
    """One load. Raises RuntimeError when a request was not answered."""
    seen = asyncio.run(load(target, callers, requests, stream))
    if seen.failed:
        raise RuntimeError(f"{seen.failed} of {requests} requests to {target.url} failed")
    return seen


def ratios(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> dict[str, float]:
    """Our tokens a second over theirs, by load."""
    return {name: round(ours[name]["tokens_per_s"] / theirs[name]["tokens_per_s"], 3) for name in ours}


def many_adapters(target: Target, first: Target, house: House, small: bool) -> dict[str, Any]:
    """Tokens a second of 16 callers over all adapters and over one; seconds until a version answers, cold and warm."""
    requests = 16 if small else REQUESTS[16]
    one, all_ = (run(found, 16, requests, stream=True).figures() for found in (first, target))
    cold = [until_answered(target, house, f"bot-0@{version}") for version in range(2, VERSIONS + 1)]
    warm = [until_answered(target, house, f"bot-0@{version}") for version in range(2, VERSIONS + 1)]
    return {
        "one": one,
        "eight": all_,
        "ratio": round(all_["tokens_per_s"] / one["tokens_per_s"], 3),
        "cold_s": [round(seconds, 3) for seconds in cold],
        "warm_s": [round(seconds, 3) for seconds in warm],
    }


def until_answered(target: Target, house: House, subject: str) -> float:
    """Seconds from the promotion of a version, which no engine has loaded, to its first answer."""
    begun = time.perf_counter()
    routing.promote(house, subject, "champion")
    body = {"model": "bot-0", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 1}
    with httpx.Client(base_url=target.url, headers={"Authorization": f"Bearer {target.key}"}, timeout=60) as http:
        while http.post("/v1/chat/completions", json=body).headers.get("x-served-model") != subject:
            time.sleep(POLL_SECONDS)
    return time.perf_counter() - begun
