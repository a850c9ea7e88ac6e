"""Bytes come back as they were put, or an error says what is wrong with them."""

import os
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunegate_core.canonical import canonical_json, digest
from tunegate_core.errors import BadInput, IntegrityError, NotFound, StoreFault
from tunegate_core.store import Store, hash_file

ABSENT = "sha256:" + "0" * 64
NAMES = st.text(alphabet="abcé.-_ ", min_size=1, max_size=8).filter(lambda name: name.strip(". ") != "")
FOLDERS = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=64), min_size=1, max_size=5
)
ONE_TMP = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["folder", "file url", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The same store in three kinds of places."""
    places: dict[str, str | Path] = {
        "folder": tmp_path / "store",
        "file url": f"file://{tmp_path}/store",
        "bucket": f"memory://bucket-{uuid.uuid4().hex}/prefix",
    }
    return Store(places[request.param])


@pytest.fixture
def local(tmp_path: Path) -> Store:
    """A store in a folder."""
    return Store(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three files on two levels."""
    return write(tmp_path / "source", {"b.txt": b"b", "a/c.txt": b"c", "a.txt": b""})


def test_bytes_come_back(store: Store, tmp_path: Path) -> None:
    blob = store.put(b"hello")
    assert blob == digest(b"hello")
    assert store.has(blob) and not store.has(ABSENT)
    assert store.get(blob) == b"hello"
    (tmp_path / "file").write_bytes(b"from a file" * 100_000)
    assert store.get(store.put_file(tmp_path / "file")) == b"from a file" * 100_000
    assert store.get(store.put_json({"b": 1, "a": None})) == b'{"a":null,"b":1}'
    assert store.get(store.put(b"")) == b""


def test_trees_come_back(store: Store, folder: Path, tmp_path: Path) -> None:
    tree = store.put_tree(folder)
    assert [(file.path, file.size) for file in store.verify_tree(tree).files] == [
        ("a.txt", 0),
        ("a/c.txt", 1),
        ("b.txt", 1),
    ]
    assert store.tree_file(tree, "a/c.txt") == b"c"
    assert read(store.materialise(tree, tmp_path / "out" / "copy")) == read(folder)
    with pytest.raises(NotFound, match=r"has no file nope\.txt"):
        store.tree_file(tree, "nope.txt")


def test_blobs_lists_every_blob_and_nothing_else(store: Store) -> None:
    assert list(store.blobs()) == []
    blobs = {store.put(bytes([number])) for number in range(20)}
    assert set(store.blobs()) == blobs
    store.remove(removed := blobs.pop())
    assert set(store.blobs()) == blobs
    for ask in (store.get, store.remove, store.get_tree):
        with pytest.raises(NotFound, match=removed):
            ask(removed)


@ONE_TMP
@given(files=FOLDERS)
def test_equal_folders_have_equal_digests(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("folders")
    store = Store(place / "store")
    try:
        first, second = write(place / "x", files), write(place / "y", dict(reversed(files.items())))
    except (NotADirectoryError, FileExistsError, IsADirectoryError):
        return  # these names can't lie in one folder
    tree = store.put_tree(first)
    assert store.put_tree(second) == tree
    copy = store.materialise(tree, place / "copy")
    assert read(copy) == read(first)
    assert store.put_tree(copy) == tree


def test_a_changed_blob_is_found(local: Store, folder: Path, tmp_path: Path) -> None:
    tree = local.put_tree(folder)
    path_of(local, digest(b"c")).write_bytes(b"C")
    with pytest.raises(IntegrityError, match=digest(b"c")):
        local.get(digest(b"c"))
    for use in (lambda: local.verify_tree(tree), lambda: local.materialise(tree, tmp_path / "out")):
        with pytest.raises(IntegrityError):
            use()
    assert not (tmp_path / "out").exists()
    path_of(local, tree).write_bytes(path_of(local, tree).read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=tree):
        local.get_tree(tree)


def test_a_cut_blob_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = store.put(b"a long letter")
    cut = store._fs.cat_file(store._path(blob))[:-1]
    store._fs.pipe_file(store._path(blob), cut)
    with pytest.raises(IntegrityError, match="was changed"):
        store.get(blob)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "b.txt").write_bytes(b"B"),
        lambda folder: (folder / "b.txt").unlink(),
        lambda folder: (folder / "new.txt").write_bytes(b""),
        lambda folder: (folder / "a" / "link").symlink_to("/etc"),
        lambda folder: relink(folder / "b.txt"),
    ],
    ids=["changed", "removed", "added", "linked folder", "linked file"],
)
def test_a_materialised_folder_that_was_changed_is_made_again(
    change: Callable[[Path], object], local: Store, folder: Path, tmp_path: Path
) -> None:
    tree = local.put_tree(folder)
    out = local.materialise(tree, tmp_path / "out")
    change(out)
    assert read(local.materialise(tree, out)) == read(folder)
    assert not any(path.is_symlink() for path in out.rglob("*"))


def test_a_whole_folder_is_left_as_it_is(local: Store, folder: Path, tmp_path: Path) -> None:
    tree = local.put_tree(folder)
    out = local.materialise(tree, tmp_path / "out")
    before = (out / "b.txt").stat().st_ino
    assert (local.materialise(tree, out) / "b.txt").stat().st_ino == before


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "", ".", "./a", "a//b", "a/", "x\0y", "..", "a/.."], ids=repr
)
def test_a_tree_that_leaves_its_folder_is_refused(path: str, local: Store, tmp_path: Path) -> None:
    tree = manifest(local, [(path, digest(b"x"), 1)])
    for use in (lambda: local.get_tree(tree), lambda: local.materialise(tree, tmp_path / "deep" / "out")):
        with pytest.raises(IntegrityError, match="no valid Tree"):
            use()
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    "files",
    [
        [("b", digest(b"x"), 1), ("a", digest(b"x"), 1)],
        [("a", digest(b"x"), 1), ("a", digest(b"y"), 1)],
        [("a", digest(b"x"), 1), ("a/b", digest(b"x"), 1)],
        [("a", "md5:1", 1)],
        [("a", digest(b"x"), -1)],
    ],
    ids=["unsorted", "twice", "file and folder", "no digest", "negative size"],
)
def test_a_tree_has_one_spelling(files: list[tuple[str, str, int]], local: Store) -> None:
    with pytest.raises(IntegrityError, match="no valid Tree"):
        local.get_tree(manifest(local, files))


def test_a_tree_that_lies_about_a_size_is_refused(local: Store, tmp_path: Path) -> None:
    local.put(b"x")
    tree = manifest(local, [("a", digest(b"x"), 2)])
    for use in (lambda: local.verify_tree(tree), lambda: local.materialise(tree, tmp_path / "out")):
        with pytest.raises(IntegrityError, match="a has 2 bytes; found 1"):
            use()


def test_a_blob_that_is_no_tree_is_refused(local: Store) -> None:
    for data in (b"", b"[]", b"\xff", b'{"type":"other","files":[]}', b'{"files":[],"extra":1}'):
        with pytest.raises(IntegrityError, match="no valid Tree"):
            local.get_tree(local.put(data))


def test_links_and_empty_folders_are_refused(local: Store, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(NotFound, match="holds no files"):
        local.put_tree(tmp_path / "empty")
    with pytest.raises(NotFound, match="holds no files"):
        local.put_tree(tmp_path / "absent")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="is a link"):
        local.put_tree(folder)


@pytest.mark.parametrize("blob", ["", "../../etc/passwd", "sha256:../" + "0" * 61, "sha256:" + "0" * 63])
def test_only_digests_are_looked_up(blob: str, store: Store) -> None:
    for ask in (store.get, store.has, store.remove, store.get_tree):
        with pytest.raises(BadInput, match="is not a digest"):
            ask(blob)


@pytest.mark.parametrize("url", ["foo://bar/x", "nope+nope://x"])
def test_an_unknown_place_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput, match="the store can't be at"):
        Store(url)


def test_a_file_that_is_not_there_is_not_found(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="can't read"):
        store.put_file(tmp_path / "absent")
    with pytest.raises(NotFound, match="can't read"):
        hash_file(tmp_path)


def test_a_full_disk_leaves_nothing_behind(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreFault, match="No space left on device"):
        local.put(b"hello")
    assert not local.has(digest(b"hello"))
    assert leftovers(local) == []
    monkeypatch.undo()
    assert local.get(local.put(b"hello")) == b"hello"


def test_a_full_disk_while_a_tree_is_written_leaves_nothing_behind(
    local: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = local.put_tree(folder)

    def no_space(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(StoreFault, match="No space left on device"):
        local.materialise(tree, tmp_path / "out" / "copy")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_write_leaves_no_blob(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        local.put(b"hello")
    assert not local.has(digest(b"hello"))
    assert leftovers(local) == []


def test_a_file_that_changes_while_it_is_stored_is_refused(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"first")
    has = local.has

    def grows(blob: str) -> bool:
        path.write_bytes(b"second")
        return has(blob)

    monkeypatch.setattr(local, "has", grows)
    with pytest.raises(IntegrityError, match="changed while it was stored"):
        local.put_file(path)
    assert list(local.blobs()) == []


def test_a_read_only_place_is_a_store_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    if os.access(tmp_path, os.W_OK):  # the administrator may write anywhere; then the system's answer is played
        monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StoreFault, match="can't write to the store"):
        Store(tmp_path / "store").put(b"x")


def test_a_file_in_the_way_is_a_store_fault(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreFault, match="can't write to the store"):
        Store(tmp_path / "store").put(b"x")


def test_drafts_are_no_blobs(local: Store) -> None:
    blob = local.put(b"x")
    path_of(local, blob).with_name("." + "0" * 32).write_bytes(b"half")
    assert list(local.blobs()) == [blob]


def test_many_writers_of_the_same_content_agree(local: Store, folder: Path, tmp_path: Path) -> None:
    trees: list[str] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            trees.append(local.put_tree(folder))
            local.materialise(trees[-1], tmp_path / "shared")
        except BaseException as fault:  # handed to the test below
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(set(trees)) == 1
    assert read(tmp_path / "shared") == read(folder)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def refuse(*args: object) -> None:
    """What a read-only disk says."""
    raise OSError(30, "Read-only file system")


def manifest(store: Store, files: list[tuple[str, str, int]]) -> str:
    """A tree's manifest as an attacker would write it."""
    entries = [{"path": path, "sha256": blob, "size": size} for path, blob, size in files]
    store.put(b"x")
    return store.put(canonical_json({"type": "tree", "files": entries}))


def path_of(store: Store, blob: str) -> Path:
    """Where a local store keeps a blob."""
    return Path(store._path(blob))


def leftovers(store: Store) -> list[Any]:
    """Every file in a local store."""
    return [path for path in Path(store.url).rglob("*") if path.is_file()]


def relink(path: Path) -> None:
    """Replace a file by a link to its content elsewhere."""
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder of these files."""
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return dict(walk(folder))


def walk(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder with its content."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
