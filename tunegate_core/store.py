"""The store: bytes under their SHA-256, written atomically, re-hashed on every read.

A blob is bytes; a tree is a manifest blob that lists files by path, digest and size (sorted, so that equal folders
have equal digests). The place is any fsspec URL; a plain path is a local folder. Nothing here is ever overwritten
with other content, and nothing is trusted because of where it lies.
"""

import fcntl
import hashlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
from pydantic import Field, field_validator

from tunegate_core.canonical import Digest, canonical_json, digest, parse_digest, verify_digest
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.records import Record

CHUNK_BYTES = 1 << 20
DIGEST = r"^sha256:[0-9a-f]{64}$"


class TreeFile(Record):
    """One file of a tree. `path` is relative and uses forward slashes; `size` is in bytes."""

    path: str
    sha256: str = Field(pattern=DIGEST)
    size: int = Field(ge=0)

    @field_validator("path")
    @classmethod
    def stays_inside(cls, path: str) -> str:
        """A path has one spelling and does not leave its folder."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\0" in path or pure.as_posix() != path or path == ".":
            raise ValueError(f"a tree names the path {path!r}; expected a plain relative path inside its folder")
        return path


class Tree(Record):
    """A folder as a list of files, sorted by path."""

    type: str = Field(default="tree", pattern="^tree$")
    files: tuple[TreeFile, ...]

    @field_validator("files")
    @classmethod
    def one_order(cls, files: tuple[TreeFile, ...]) -> tuple[TreeFile, ...]:
        """Equal folders have equal manifests: every path once, sorted, and none that is also a folder."""
        paths = [file.path for file in files]
        if paths != sorted(set(paths)):
            raise ValueError("a tree's paths must be sorted and differ")
        folders = {folder.as_posix() for path in paths for folder in PurePosixPath(path).parents}
        if clash := sorted(folders & set(paths)):
            raise ValueError(f"a tree names {clash[0]!r} as a file and as a folder")
        return files


class Store:
    """A content-addressed store at a path or any fsspec URL (`s3://bucket/prefix`, `memory://x`, ...)."""

    def __init__(self, url: str | Path):
        self.url = str(url)
        self._fs: Any
        self._fs, self._root = open_place(self.url)
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
            self._write(self._path(name), data)
        return name

    def put_json(self, value: Any) -> Digest:
        """Store a JSON value in canonical form."""
        return self.put(canonical_json(value))

    def put_file(self, path: Path) -> Digest:
        """Store a file without holding it in memory. Raises IntegrityError when it changes meanwhile."""
        name = hash_file(path)
        if not self.has(name):
            self._write(self._path(name), path)
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
                return self._file(file)
        raise NotFound(f"the tree {tree} has no file {path}")

    def verify_tree(self, tree: str) -> Tree:
        """The manifest after every file of it was read and re-hashed."""
        manifest = self.get_tree(tree)
        for file in manifest.files:
            self._file(file)
        return manifest

    def materialise(self, tree: str, folder: Path) -> Path:
        """Write a tree's files into `folder`, each re-hashed; reuse the folder if all of it still verifies.

        Several processes may do so at once: the folder is only ever replaced as a whole, and only when it is wrong.
        """
        manifest = self.get_tree(tree)
        if folder.is_dir() and _folder_holds(folder, manifest):
            return folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
                draft = Path(place) / "draft"
                for file in manifest.files:
                    target = draft / file.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(self._file(file))
                _put_in_place(draft, folder, manifest)
        except OSError as error:
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
        try:
            self._fs.rm_file(self._path(blob))
        except FileNotFoundError as error:
            raise NotFound(f"the store at {self.url} has no {blob}") from error

    def _file(self, file: TreeFile) -> bytes:
        data = self.get(file.sha256)
        if len(data) != file.size:
            raise IntegrityError(f"a tree says that {file.path} has {file.size} bytes; found {len(data)}")
        return data

    def _write(self, path: str, source: bytes | Path) -> None:
        try:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            if self._local:
                _write_whole(Path(path), source)
            elif isinstance(source, bytes):
                self._fs.pipe_file(path, source)
            else:
                self._fs.put_file(str(source), path)
        except OSError as error:
            raise StoreFault(f"can't write to the store at {self.url}: {error}") from error


def open_place(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path there, without a slash at the end. Raises BadInput."""
    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise BadInput(f"the store can't be at {url}: {error}; expected a folder or a URL fsspec knows") from error
    return system, str(root).rstrip("/")


def hash_file(path: Path) -> Digest:
    """Digest of a file, read in chunks."""
    try:
        with path.open("rb") as source:
            return Digest("sha256:" + hashlib.file_digest(source, "sha256").hexdigest())
    except OSError as error:
        raise NotFound(f"can't read {path}: {error}") from error


def _put_in_place(draft: Path, folder: Path, manifest: Tree) -> None:
    """Make the draft the folder unless the folder holds the same by now; under a lock that ends with the process."""
    handle = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder.is_dir() and _folder_holds(folder, manifest)):
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
    finally:
        os.close(handle)


def _write_whole(target: Path, source: bytes | Path) -> None:
    """Write a file beside its place, flush it to the disk, and move it in."""
    draft = target.with_name(f".{uuid.uuid4().hex}")
    hashed = hashlib.sha256()
    try:
        with draft.open("wb") as out, _opened(source) as data:
            while chunk := data.read(CHUNK_BYTES):
                hashed.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if hashed.hexdigest() != target.parent.name + target.name:
            raise IntegrityError(f"{source!s:.200} changed while it was stored; store it again")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _opened(source: bytes | Path) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _folder_holds(folder: Path, manifest: Tree) -> bool:
    paths = list(folder.rglob("*"))
    if any(path.is_symlink() for path in paths):
        return False
    found = {path.relative_to(folder).as_posix() for path in paths if path.is_file()}
    return found == {file.path for file in manifest.files} and all(
        hash_file(folder / file.path) == file.sha256 for file in manifest.files
    )
