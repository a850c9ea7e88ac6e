"""Personal text that must be erasable under a commitment that must not change.

A set of texts is committed to by one RFC 6962 root over its rows, each row the canonical JSON of its salt (32 random
bytes) and text. The rows lie beside the store in one file named by the root. Erasing a row replaces its salt and text
by its leaf hash: the root still verifies, the row reads as erased, and without the salt nobody can test a guess.

The same texts put again give the same root (found by an index that is dropped with the first erasure), so that a
continued run knows its own data. In a local folder that also holds for two that put them at once.
"""

import fcntl
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tunegate_core.canonical import canonical_json, digest
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.proof.tree import leaf_hash, tree_root
from tunegate_core.store import open_place

COMMITMENT = re.compile(r"rows:[0-9a-f]{64}")
HASH_BYTES = 32


class Rows:
    """Erasable rows below a store URL, in its folder `rows`."""

    def __init__(self, store_url: str):
        self._fs: Any
        self._fs, root = open_place(store_url)
        self._root = root + "/rows"

    def put(self, texts: Sequence[str], anew: bool = False) -> str:
        """Commit to texts in order; return the root as `rows:<64 hex>`. `anew`: another one, though they are known."""
        index = f"{self._root}/index/{digest(canonical_json(list(texts))).removeprefix('sha256:')}"
        with self._alone():
            if not anew and self._fs.exists(index):
                known = str(self._fs.cat_file(index).decode())
                if self._fs.exists(self._path(known)) and list(self.get(known)) == list(texts):
                    return known
            rows = [canonical_json({"salt": secrets.token_hex(32), "text": text}) for text in texts]
            commitment = "rows:" + tree_root([leaf_hash(row) for row in rows]).hex()
            self._write(self._path(commitment), b"".join(row + b"\n" for row in rows))
            self._write(index, commitment.encode())
        return commitment

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One that puts at a time, in a local folder: two runs of one config would else be salted apart, and be two
        candidates."""
        if "file" not in self._fs.protocol:
            yield
            return
        try:
            self._fs.makedirs(self._root, exist_ok=True)
            handle = os.open(self._root, os.O_RDONLY)
        except OSError as error:
            raise StoreFault(f"can't write rows to the store: {error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def get(self, commitment: str) -> list[str | None]:
        """The texts, None for an erased row; checked against the root. Raises NotFound or IntegrityError."""
        return [text for _, text in map(_parse, self._lines(commitment))]

    def leaf(self, commitment: str, row: int) -> str:
        """The leaf hash of one row, hex: its name after erasure."""
        return _parse(_row_of(self._lines(commitment), commitment, row))[0].hex()

    def erase(self, commitment: str, row: int) -> None:
        """Replace one row's salt and text by its leaf hash, and forget the index of all rows that held it."""
        lines = self._lines(commitment)
        _row_of(lines, commitment, row)
        self._write(self._path(commitment), without(b"".join(line + b"\n" for line in lines), [row]))
        for index in self._fs.find(f"{self._root}/index"):
            if self._fs.cat_file(index).decode() == commitment:
                self._fs.rm_file(index)

    def search(self, hint: str, matches: Callable[[str], bool]) -> Iterator[tuple[str, int, str]]:
        """Every row that matches, as (commitment, row, text), in every set. `hint`: letters and digits that the `plain`
        form of a match is sure to hold; sets without them are not taken apart."""
        for commitment in sorted(self.commitments()):
            if hint not in plain(self._fs.cat_file(self._path(commitment)).decode("utf-8", "replace")):
                continue
            for row, text in enumerate(self.get(commitment)):
                if text is not None and matches(text):
                    yield commitment, row, text

    def commitments(self) -> Iterator[str]:
        """Every commitment whose rows are here."""
        for path in self._fs.glob(f"{self._root}/*.jsonl"):
            yield "rows:" + str(path).rsplit("/", 1)[-1].removesuffix(".jsonl")

    def _lines(self, commitment: str) -> list[bytes]:
        """The stored lines of a commitment, checked against its root."""
        try:
            lines: list[bytes] = self._fs.cat_file(self._path(commitment)).splitlines()
        except FileNotFoundError as error:
            raise NotFound(f"the rows of {commitment} are not in the store") from error
        if tree_root([_parse(line)[0] for line in lines]).hex() != commitment.removeprefix("rows:"):
            raise IntegrityError(f"the rows of {commitment} were changed")
        return lines

    def _path(self, commitment: str) -> str:
        if not COMMITMENT.fullmatch(commitment):
            raise BadInput(f"'{commitment}' names no rows; expected 'rows:' and 64 hex digits")
        return f"{self._root}/{commitment.removeprefix('rows:')}.jsonl"

    def _write(self, path: str, data: bytes) -> None:
        try:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            draft = f"{path}.{secrets.token_hex(8)}.draft"
            try:
                self._fs.pipe_file(draft, data)
                self._fs.mv(draft, path)
            finally:  # a draft left behind would hold text that no erasure finds
                if self._fs.exists(draft):
                    self._fs.rm_file(draft)
        except OSError as error:
            raise StoreFault(f"can't write rows to the store: {error}") from error


def plain(text: str) -> str:
    """The form in which texts are compared: NFKC, case folded, so that a letter is the same with its accent apart."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def texts_of(value: Any) -> Iterator[str]:
    """Every text of a row as it was read; who said a message is none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts_of(part) if key != "role" else ()
    elif isinstance(value, list):
        for part in value:
            yield from texts_of(part)


def without(data: bytes, rows: Collection[int]) -> bytes:
    """The stored form of a set after these rows were erased. Raises IntegrityError for what is no such form."""
    lines = data.splitlines()
    for row in rows:
        lines[row] = canonical_json({"erased": _parse(lines[row])[0].hex()})
    return b"".join(line + b"\n" for line in lines)


def _parse(line: bytes) -> tuple[bytes, str | None]:
    """The leaf hash and the text of a stored row; no text when it was erased. Raises IntegrityError."""
    try:
        row = json.loads(line)
        if isinstance(row, dict) and row.keys() == {"erased"}:  # and nothing else: text beside it would be unproven
            return _hash(row["erased"]), None
        if isinstance(row, dict) and row.keys() == {"salt", "text"}:
            return leaf_hash(line), str(row["text"])
    except (ValueError, TypeError) as error:
        raise IntegrityError(f"a stored row was changed: {error}") from error
    raise IntegrityError("a stored row was changed: expected a salt and a text, or what is left after erasure")


def _hash(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != HASH_BYTES:
        raise ValueError(f"expected a hash of {HASH_BYTES} bytes, found {len(value)}")
    return value


def _row_of(lines: Sequence[bytes], commitment: str, row: int) -> bytes:
    if not 0 <= row < len(lines):
        raise NotFound(f"{commitment} has {len(lines)} rows; there is no row {row}")
    return lines[row]
