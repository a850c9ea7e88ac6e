"""Pictures and sounds in a prompt: given in the request, or on a host that the endpoint's config lists. Pure.

What an engine would fetch is decided by the engine's parser, so nothing here is decided by a part's `type`: whatever
stands under the name of an address, at any depth, must be one that may be read. An address begins with `https://`, a
listed name and `/`, in just these letters. So every parser finds the same host in it: there is no room for a user, a
port or another spelling of an address of this machine.
"""

from collections.abc import Collection, Iterator
from typing import Any

from serving.errors import bad_request

ADDRESSES = ("url", "image_url", "file_url", "audio_url", "video_url")
CITED = "annotations"  # of an earlier answer: addresses that nobody fetches


def verify_media(prompt: Any, name: str, domains: Collection[str]) -> None:
    """Raise Refusal (400) when the field `name` of a body names an address that may not be read."""
    for address in _addresses(prompt):
        if not address.startswith("data:") and not any(address.startswith(f"https://{one}/") for one in domains):
            raise bad_request(_reason(domains), name, "remote_media")


def _addresses(prompt: Any) -> Iterator[str]:
    level = [prompt]
    while level:
        told = [(key, value) for one in level if isinstance(one, dict) for key, value in one.items() if key != CITED]
        for key, value in told:
            if key in ADDRESSES:
                yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))
        inner = [value for _, value in told] + [value for one in level if isinstance(one, list) for value in one]
        level = [value for value in inner if isinstance(value, dict | list)]


def _reason(domains: Collection[str]) -> str:
    if not domains:
        return "Media must be given as data: URLs; nothing is fetched."
    return "Media must be given as data: URLs, or as https://HOST/... where HOST is one that this endpoint allows."
