"""The store: bytes under their SHA-256, written atomically, re-hashed on every read.

A blob is bytes; a tree is a manifest blob that lists files by path, digest and size (sorted, so that equal folders
have equal digests). The place is any fsspec URL; a plain path is a local folder. Nothing here is ever overwritten
with other content, and nothing is trusted because of where it lies.
"""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from pydantic import Field

from tunegate_core.canonical import Digest, canonical_json, digest, parse_digest, verify_digest
from tunegate_core.errors import IntegrityError, NotFound, StoreFault
from tunegate_core.records import Record

CHUNK_BYTES = 1 << 20


class TreeFile(Record):
    """One file of a tree. `path` is relative and uses forward slashes; `size` is in bytes."""

    path: str
    sha256: str
    size: int = Field(ge=0)


class Tree(Record):
    """A folder as a list of files, sorted by path."""

    type: str = Field(default="tree", pattern="^tree$")
    files: tuple[TreeFile, ...]


class Store:
    """A content-addressed store at a path or any fsspec URL (`s3://bucket/prefix`, `memory://x`, ...)."""

    def __init__(self, url: str | Path):
        self.url = str(url)
        self._fs: Any
        self._fs, root = fsspec.core.url_to_fs(self.url)
        self._root = str(root).rstrip("/")
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def _path(self, blob: str) -> str:
        name = parse_digest(blob).removeprefix("sha256:")
        return f"{self._root}/{name[:2]}/{name[2:]}"

    def has(self, blob: str) -> bool:
        """Whether the blob is present (its content is checked on read, not here)."""
        return bool(self._fs.exists(self._path(blob)))

    def put(self, data: bytes) -> Digest:
        """Store bytes; return their digest. Atomic: a reader sees the whole blob or none."""
        name = digest(data)
        if not self.has(name):
            self._write(self._path(name), lambda out: out.write(data))
        return name

    def put_json(self, value: Any) -> Digest:
        """Store a JSON value in canonical form."""
        return self.put(canonical_json(value))

    def put_file(self, path: Path) -> Digest:
        """Store a file without holding it in memory."""
        name = hash_file(path)
        if not self.has(name):
            with path.open("rb") as source:
                self._write(self._path(name), lambda out: shutil.copyfileobj(source, out, CHUNK_BYTES))
        return name

    def put_tree(self, folder: Path) -> Digest:
        """Store every regular file below `folder` and the manifest; return the manifest's digest. Links are refused."""
        files = []
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                raise IntegrityError(f"{path} is a link; a tree holds regular files only")
            if path.is_file():
                size = path.stat().st_size
                files.append(TreeFile(path=path.relative_to(folder).as_posix(), sha256=self.put_file(path), size=size))
        if not files:
            raise NotFound(f"{folder} holds no files to store")
        files.sort(key=lambda file: file.path)
        return self.put(Tree(files=tuple(files)).canonical())

    def get(self, blob: str) -> bytes:
        """The bytes of a blob, re-hashed. Raises NotFound or IntegrityError."""
        try:
            data: bytes = self._fs.cat_file(self._path(blob))
        except FileNotFoundError as error:
            raise NotFound(f"the store at {self.url} has no {blob}") from error
        except OSError as error:
            raise StoreFault(f"can't read {blob} from {self.url}: {error}") from error
        return verify_digest(data, blob, f"the stored file {blob}")

    def get_tree(self, tree: str) -> Tree:
        """The manifest of a tree, checked; its files are checked when they are read or materialised."""
        return Tree.parse(self.get(tree))

    def tree_file(self, tree: str, path: str) -> bytes:
        """The bytes of one file of a tree, checked against the manifest."""
        for file in self.get_tree(tree).files:
            if file.path == path:
                return self.get(file.sha256)
        raise NotFound(f"the tree {tree} has no file {path}")

    def verify_tree(self, tree: str) -> Tree:
        """The manifest after every file of it was read and re-hashed."""
        manifest = self.get_tree(tree)
        for file in manifest.files:
            self.get(file.sha256)
        return manifest

    def materialise(self, tree: str, folder: Path) -> Path:
        """Write a tree's files into `folder`, each re-hashed; reuse the folder if all of it still verifies."""
        manifest = self.get_tree(tree)
        if folder.is_dir() and _folder_holds(folder, manifest):
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for file in manifest.files:
            target = draft / _inside(file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.get(file.sha256))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            draft.rename(folder)
        except OSError as error:  # another process may have won the race with the same content
            shutil.rmtree(draft, ignore_errors=True)
            if not (folder.is_dir() and _folder_holds(folder, manifest)):
                raise StoreFault(f"can't write {folder}: {error}") from error
        return folder

    def blobs(self) -> Iterator[Digest]:
        """Every blob's digest, in no particular order."""
        if self._fs.exists(self._root):
            for path in self._fs.find(self._root):
                name = "".join(PurePosixPath(path).parts[-2:])
                if len(name) == 64 and set(name) <= set("0123456789abcdef"):
                    yield Digest("sha256:" + name)

    def remove(self, blob: str) -> None:
        """Delete one blob; used by erasure and garbage collection only."""
        self._fs.rm_file(self._path(blob))

    def _write(self, path: str, fill: Callable[[Any], object]) -> None:
        folder = path.rsplit("/", 1)[0]
        draft = f"{folder}/.{uuid.uuid4().hex}" if self._local else path
        try:
            self._fs.makedirs(folder, exist_ok=True)
            with self._fs.open(draft, "wb") as out:
                fill(out)
                out.flush()
                if self._local:
                    os.fsync(out.fileno())
            if self._local:
                os.replace(draft, path)
        except OSError as error:
            if self._local:
                Path(draft).unlink(missing_ok=True)
            raise StoreFault(f"can't write to the store at {self.url}: {error}") from error


def hash_file(path: Path) -> Digest:
    """Digest of a file, read in chunks."""
    try:
        with path.open("rb") as source:
            return Digest("sha256:" + hashlib.file_digest(source, "sha256").hexdigest())
    except OSError as error:
        raise NotFound(f"can't read {path}: {error}") from error


def _inside(path: str) -> PurePosixPath:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise IntegrityError(f"a tree names the path {path!r}, which leaves its folder")
    return pure


def _folder_holds(folder: Path, manifest: Tree) -> bool:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found == {file.path for file in manifest.files} and all(
        hash_file(folder / file.path) == file.sha256 for file in manifest.files
    )
