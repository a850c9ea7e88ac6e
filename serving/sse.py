"""Server-sent events as OpenAI's endpoints use them: `event:` and `data:` lines, each block ended by an empty line."""

from dataclasses import dataclass, field

from tunegate_core.errors import IntegrityError

DONE = b"[DONE]"
MOST_BYTES = 4_194_304  # of one event


@dataclass
class Events:
    """Cuts a stream of bytes into events, whatever the pieces it comes in."""

    _rest: bytes = field(default=b"", repr=False)

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Every event that is complete now: its type (empty for none) and its data."""
        whole = self._rest + data if self._rest else data
        if b"\r" in whole:
            whole = whole.replace(b"\r\n", b"\n")
        *blocks, self._rest = whole.split(b"\n\n")
        if len(self._rest) > MOST_BYTES:
            raise IntegrityError(f"an event of the engine's stream has more than {MOST_BYTES} bytes")
        return [parsed for parsed in map(_parse, blocks) if parsed[1]]


def _parse(block: bytes) -> tuple[bytes, bytes]:
    if block.startswith(b"data: ") and b"\n" not in block:
        return b"", block[6:]
    kind, data = b"", []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            kind = value.strip()
    return kind, b"\n".join(data)


def event(data: bytes, kind: bytes = b"") -> bytes:
    """One event as bytes."""
    return b"event: %s\ndata: %s\n\n" % (kind, data) if kind else b"data: %s\n\n" % data
