"""Witnesses: a log that is forked, rewritten or rolled back behind one is found, by the witness and by who asks it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tunegate import signing_keys, witnessing
from tunegate.cli import app
from tunegate.house import House
from tunegate.keeping import backup, restore
from tunegate.proving import verify
from tunegate_core.errors import BadInput, IntegrityError, NotFound
from tunegate_core.proof.checkpoint import verify_checkpoint
from tunegate_core.proof.keys import parse_public_key


def at(home: Path) -> House:
    return House(home, f"sqlite:///{home / 'ledger.sqlite'}")


class Pair:
    """A log and a witness of another party, who speak through files."""

    def __init__(self, log: House, folder: Path):
        self.log, self.witness, self.folder = log, at(folder / "witness-home"), folder
        self.number = 0
        witnessing.add(log, witnessing.create(self.witness, "w1"))

    def request(self, log: House | None = None) -> Path:
        self.number += 1
        path = self.folder / f"request-{self.number}"
        path.write_text(witnessing.request(log or self.log, "w1"))
        return path

    def sign(self, request: Path, log: House | None = None) -> Path:
        (self.folder / "log.pub").write_bytes((log or self.log).public_key)
        path = self.folder / f"cosigned-{self.number}"
        path.write_text(witnessing.sign(self.witness, request, "w1", self.folder / "log.pub"))
        return path

    def round(self, log: House | None = None) -> Path:
        """Ask, cosign, keep."""
        path = self.sign(self.request(log), log)
        witnessing.take(log or self.log, path)
        return path


@pytest.fixture
def pair(told_home: Path, tmp_path: Path) -> Pair:
    return Pair(at(told_home), tmp_path)


def grow(house: House, times: int = 3) -> None:
    for number in range(times):
        house.ledger.append("noted", {"i": number})


def test_verify_says_how_far_each_witness_has_seen(pair: Pair) -> None:
    assert verify(pair.log, None)["witnesses"] == [{"name": "w1", "size": 0, "time": None}]
    pair.round()
    first = pair.log.existing_ledger.size()
    grow(pair.log)
    (seen,) = verify(pair.log, None)["witnesses"]
    assert (seen["size"], seen["time"] > 0) == (first, True)
    assert witnessing.listed(pair.log)["witnesses"] == [{"name": "w1", "size": first, "behind": 3}]
    pair.round()
    assert verify(pair.log, None)["witnesses"][0]["size"] == first + 3
    assert witnessing.listed(pair.log)["witnesses"][0]["behind"] == 0


def test_a_cosigned_head_is_still_the_logs_own(pair: Pair) -> None:
    note = pair.round().read_text()
    assert verify_checkpoint(note, parse_public_key(pair.log.public_key)).size == pair.log.existing_ledger.size()
    assert note.count("\n— ") == 2


def test_nothing_new_is_cosigned_again_without_harm(pair: Pair) -> None:
    pair.round()
    pair.round()
    assert verify(pair.log, None)["ok"]


def test_a_log_rolled_back_behind_a_witness_is_found(pair: Pair, tmp_path: Path) -> None:
    """The whole home is put back: log, anchor and heads agree with one another, and only the witness knows better."""
    old = shutil.copytree(pair.log.home, tmp_path / "old")
    pair.round()
    grow(pair.log)
    cosigned = pair.round()
    size = pair.log.existing_ledger.size()
    rolled = at(Path(old))
    assert verify(rolled, None)["ok"]  # by itself it can't know
    report = verify(rolled, None, [cosigned])
    assert not report["ok"]
    assert any(f"a tree of {size} events was signed" in problem["what"] for problem in report["problems"])
    with pytest.raises(IntegrityError, match="it was rolled back; not signed"):
        pair.sign(pair.request(rolled), rolled)
    grow(rolled, 9)  # it grows past the witness again, another way
    with pytest.raises(BadInput, match="this witness has seen"):
        pair.sign(pair.request(rolled), rolled)


def test_a_log_forked_behind_a_witness_is_found(pair: Pair, tmp_path: Path) -> None:
    pair.round()
    fork = at(Path(shutil.copytree(pair.log.home, tmp_path / "fork")))
    grow(pair.log)
    cosigned = pair.round()
    grow(fork, 5)
    fork.ledger.checkpoint()
    assert verify(fork, None)["ok"]
    report = verify(fork, None, [cosigned])
    assert any("are not those that were signed" in problem["what"] for problem in report["problems"])
    lie = pair.request(fork).read_text().partition("\n")[2]
    asked = tmp_path / "lie"
    asked.write_text(f"old {pair.log.existing_ledger.size()}\n{lie}")
    with pytest.raises(IntegrityError, match="forked or rewritten"):
        pair.sign(asked, fork)
    pair.log.ledger.append("noted", {})
    pair.round()  # the honest one goes on


def test_both_sides_of_a_fork_shown_together_are_a_problem(pair: Pair, tmp_path: Path) -> None:
    """A witness that was shown the other side of a fork (with another name) proves it to everybody."""
    fork = at(Path(shutil.copytree(pair.log.home, tmp_path / "fork")))
    other = at(tmp_path / "other-witness")
    for log in (pair.log, fork):
        witnessing.add(log, witnessing.create(other, "w2"))
    pair.log.ledger.append("noted", {"side": 1})
    fork.ledger.append("noted", {"side": 2})
    request, public = tmp_path / "r", tmp_path / "p"
    request.write_text(witnessing.request(fork, "w2"))
    public.write_bytes(fork.public_key)
    shown = tmp_path / "shown"
    shown.write_text(witnessing.sign(other, request, "w2", public))
    assert not verify(pair.log, None, [shown])["ok"]


def test_who_is_no_witness_counts_for_nothing(pair: Pair, tmp_path: Path) -> None:
    stranger = Pair.__new__(Pair)
    stranger.log, stranger.folder, stranger.number, stranger.witness = pair.log, tmp_path, 50, at(tmp_path / "stranger")
    witnessing.create(stranger.witness, "w1")  # the same name, another key
    cosigned = stranger.sign(pair.request())
    with pytest.raises(BadInput, match="cosigned by no witness"):
        witnessing.take(pair.log, cosigned)
    assert not verify(pair.log, None, [cosigned])["ok"]
    with pytest.raises(BadInput, match="another key is known"):
        witnessing.add(pair.log, witnessing.create(stranger.witness, "w1"))
    with pytest.raises(NotFound, match="no witness 'w9'"):
        witnessing.request(pair.log, "w9")
    with pytest.raises(BadInput, match="own witness"):
        witnessing.create(pair.log, "ledger")


def test_a_witness_signs_for_the_logs_key_only(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = at(tmp_path / "other")
    other.ledger.append("noted", {})
    with pytest.raises(IntegrityError, match="signed by another key"):
        pair.sign(pair.request(), other)
    assert not (pair.witness.home / "witness" / "w1.json").exists()


@pytest.mark.parametrize(
    "text", ["", "old\n\nx", "old 1", "old -1\n\nnote", "new 0\n\nnote", "old 0\n??\n\nnote", "old ²\n\nn"]
)
def test_what_is_no_request(pair: Pair, text: str) -> None:
    path = pair.folder / "bad"
    path.write_text(text)
    with pytest.raises((BadInput, IntegrityError)):
        pair.sign(path)


def test_a_replaced_key_goes_on_with_the_same_witness(pair: Pair) -> None:
    pair.round()
    signing_keys.rotate(pair.log, "ledger")
    pair.log = at(pair.log.home)
    pair.round()
    report = verify(pair.log, None)
    assert report["ok"], report["problems"]
    assert report["witnesses"][0]["size"] == pair.log.existing_ledger.size()


def test_cosigned_heads_are_part_of_a_backup(pair: Pair, tmp_path: Path) -> None:
    pair.round()
    backup(pair.log, tmp_path / "b.tgz", with_keys=False)
    restored = at(tmp_path / "restored")
    restore(restored, tmp_path / "b.tgz")
    assert verify(restored, None)["witnesses"] == verify(pair.log, None)["witnesses"]


def test_a_damaged_cosignature_is_told(pair: Pair) -> None:
    path = pair.round()
    lines = path.read_text().splitlines(keepends=True)
    body = lines[-1].split(" ")
    path.write_text("".join(lines[:-1]) + " ".join([*body[:2], body[2][:20] + "AAAA" + body[2][24:]]))
    report = verify(pair.log, None, [path])
    assert [problem["where"] for problem in report["problems"]] == ["cosigned head 2"]


def test_the_verbs(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(house: House, *args: str) -> Any:
        monkeypatch.setenv("TUNEGATE_HOME", str(house.home))
        return CliRunner().invoke(app, list(args))

    vkey = run(pair.witness, "witness", "create", "w2").output.strip()
    assert "w2 is known" in run(pair.log, "witness", "add", vkey).output
    asked, answer, public = (pair.folder / name for name in ("asked", "answer", "public"))
    asked.write_text(run(pair.log, "witness", "request", "w2").output)
    public.write_text(run(pair.log, "keys", "export").output)
    answer.write_text(run(pair.witness, "witness", "sign", str(asked), "--as", "w2", "--log", str(public)).output)
    assert "kept: w2" in run(pair.log, "witness", "take", str(answer)).output
    assert "w1 has seen 0 of" in run(pair.log, "witness", "list").output
    assert "witness w2 has seen" in run(pair.log, "ledger", "verify", "--witnessed", str(answer)).output


def test_verification_goes_on_after_a_head_that_a_witness_cosigned(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = pair.round()
    size = pair.log.existing_ledger.size()
    grow(pair.log)
    pair.round()
    monkeypatch.setenv("TUNEGATE_HOME", str(pair.log.home))
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["ledger", "verify", "--since", str(kept)])
    assert done.exit_code == 0
    assert f"verified {size + 3} events, those from event {size} on, root" in " ".join(done.output.split())
    assert f"note: events 0 to {size - 1} were not looked at again" in done.output
    assert "witness w1 has seen" in done.output
    missing = CliRunner().invoke(app, ["ledger", "verify", "--since", str(kept) + "x"])
    assert isinstance(missing.exception, NotFound)
