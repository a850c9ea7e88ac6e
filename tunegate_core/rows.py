"""Personal text that must be erasable under a commitment that must not change.

A set of texts is committed to by one RFC 6962 root over its rows, each row the canonical JSON of its salt (32 random
bytes) and text. The rows lie beside the store in one file named by the root. Erasing a row replaces its salt and text
by its leaf hash: the root still verifies, the row reads as erased, and without the salt nobody can test a guess.

The same texts put again give the same root (found by an index that is dropped with the first erasure), so that a
continued run knows its own data.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from tunegate_core.canonical import canonical_json, digest
from tunegate_core.errors import IntegrityError, NotFound, StoreFault
from tunegate_core.proof.tree import leaf_hash, tree_root
from tunegate_core.store import open_place


class Rows:
    """Erasable rows below a store URL, in its folder `rows`."""

    def __init__(self, store_url: str):
        self._fs: Any
        self._fs, root = open_place(store_url)
        self._root = root + "/rows"

    def put(self, texts: Sequence[str]) -> str:
        """Commit to texts in order; return the root as `rows:<64 hex>`."""
        index = f"{self._root}/index/{digest(canonical_json(list(texts))).removeprefix('sha256:')}"
        if self._fs.exists(index):
            known = str(self._fs.cat_file(index).decode())
            if self._fs.exists(self._path(known)) and list(self.get(known)) == list(texts):
                return known
        rows = [canonical_json({"salt": secrets.token_hex(32), "text": text}) for text in texts]
        commitment = "rows:" + tree_root([leaf_hash(row) for row in rows]).hex()
        self._write(self._path(commitment), b"".join(row + b"\n" for row in rows))
        self._write(index, commitment.encode())
        return commitment

    def get(self, commitment: str) -> list[str | None]:
        """The texts, None for an erased row; checked against the root. Raises NotFound or IntegrityError."""
        try:
            lines = self._fs.cat_file(self._path(commitment)).splitlines()
        except FileNotFoundError as error:
            raise NotFound(f"the rows of {commitment} are not in the store") from error
        if tree_root([_leaf(line) for line in lines]).hex() != commitment.removeprefix("rows:"):
            raise IntegrityError(f"the rows of {commitment} were changed")
        return [json.loads(line).get("text") for line in lines]

    def leaf(self, commitment: str, row: int) -> str:
        """The leaf hash of one row, hex: its name after erasure."""
        return _leaf(self._fs.cat_file(self._path(commitment)).splitlines()[row]).hex()

    def erase(self, commitment: str, row: int) -> None:
        """Replace one row's salt and text by its leaf hash, and forget the index of all rows that held it."""
        self.get(commitment)
        lines = self._fs.cat_file(self._path(commitment)).splitlines()
        if not 0 <= row < len(lines):
            raise NotFound(f"{commitment} has {len(lines)} rows; there is no row {row}")
        lines[row] = canonical_json({"erased": _leaf(lines[row]).hex()})
        self._write(self._path(commitment), b"".join(line + b"\n" for line in lines))
        for index in self._fs.find(f"{self._root}/index"):
            if self._fs.cat_file(index).decode() == commitment:
                self._fs.rm_file(index)

    def commitments(self) -> Iterator[str]:
        """Every commitment whose rows are here."""
        for path in self._fs.glob(f"{self._root}/*.jsonl"):
            yield "rows:" + str(path).rsplit("/", 1)[-1].removesuffix(".jsonl")

    def _path(self, commitment: str) -> str:
        return f"{self._root}/{commitment.removeprefix('rows:')}.jsonl"

    def _write(self, path: str, data: bytes) -> None:
        try:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            draft = f"{path}.{secrets.token_hex(8)}.draft"
            with self._fs.open(draft, "wb") as out:
                out.write(data)
            self._fs.mv(draft, path)
        except OSError as error:
            raise StoreFault(f"can't write rows to the store: {error}") from error


def _leaf(line: bytes) -> bytes:
    row = json.loads(line)
    return bytes.fromhex(row["erased"]) if "erased" in row else leaf_hash(line)
