"""What is compared when a release is made again, and a folder about a release that stands on its own."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from finetune.data import read_rows
from tunegate.exporting import export_release, named
from tunegate.house import House
from tunegate.proving import check_bundle
from tunegate.reproducing import _block, _training, reproduce, within
from tunegate_core.canonical import digest
from tunegate_core.config import BaseBlock, DataBlock, FinetuneBlock
from tunegate_core.errors import BadInput, NotFound
from tunegate_core.records import TrainingRecord

WAS = TrainingRecord(
    steps=8, rows_per_step=8, supervised_tokens=100, first_loss=2.0, final_loss=1.0, packing=False,
    precision="float32", workers=1, strategy="none", trained_parameters=10,
)  # fmt: skip


@pytest.fixture
def house(told_home: Path) -> House:
    return House(told_home, f"sqlite:///{told_home / 'ledger.sqlite'}")


@pytest.mark.parametrize(
    ("low", "high", "value", "expected"),
    [(0.2, 0.4, 0.3, True), (0.2, 0.4, 0.2, True), (0.2, 0.4, 0.41, False), (None, 0.4, 0.3, False),
     (0.2, 0.4, None, False), (0.0, 0.0, 0.0, True), (None, None, None, False)],
)  # fmt: skip
def test_a_figure_is_within_what_was_recorded(low: Any, high: Any, value: Any, expected: bool) -> None:
    assert within(low, high, value) is expected


def test_trainings_are_the_same_close_or_different() -> None:
    assert _training(WAS, WAS).result == "same"
    close = _training(WAS, WAS.model_copy(update={"final_loss": 1.005}))
    assert (close.result, close.how) == ("within", "final_loss 1.0 -> 1.005")
    assert _training(WAS, WAS.model_copy(update={"final_loss": 1.5})).result == "different"
    assert _training(WAS, WAS.model_copy(update={"steps": 9})).result == "different"


def findings(found: dict[str, Any]) -> dict[str, str]:
    return {finding["what"]: finding["result"] for finding in found["findings"]}


def test_what_went_in_is_read_again(house: House) -> None:
    found = reproduce(house, "bot@1", inputs_only=True)
    assert findings(found)["base"] == findings(found)["config"] == findings(found)["data"] == "same"
    assert findings(found)["items"] == "different"  # these were told without items in the store
    assert found["reproduced"] is False  # nothing was made again
    full = reproduce(house, "bot@1")
    assert findings(full)["training"] == "not tried"
    assert not full["reproduced"]


def test_rows_of_any_split_are_read_again_from_a_file(house: House, tmp_path: Path) -> None:
    block = FinetuneBlock(
        base=BaseBlock(model="m"), data=DataBlock(source="hub://org/rows", revision="v1", split="test")
    )
    planned = MagicMock()
    planned.config = house.store.put_json({"finetune": block.model_dump(mode="json")})
    planned.data.rows = house.rows.put(['{"text":"a"}'])
    assert [row.parts[0].text for row in read_rows(_block(house, planned, tmp_path).data)] == ["a"]


def test_what_is_missing_or_changed_is_said(house: House) -> None:
    policy = house.existing_ledger.events("planned", "bot@1")[0].body["policy"]
    house.store.remove(policy)
    found = reproduce(house, "bot@1", inputs_only=True)
    assert findings(found)["policy"] == "not tried"
    assert found["inputs_match"] is False


def test_only_what_was_sealed(house: House) -> None:
    with pytest.raises(BadInput, match="no sealed adapter"):
        reproduce(house, "bot@5")
    with pytest.raises(NotFound):
        reproduce(house, "bot@9")


def test_a_folder_that_stands_on_its_own(house: House, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_release(house, "bot@1", out)
    proved = check_bundle(out / "bundle.json", out / "ledger.pub")
    assert proved["subject"] == "bot@1"
    bundle = (out / "bundle.json").read_text()
    for name, blob in named(house, "bot@1").items():
        assert digest((out / "records" / f"{name}.json").read_bytes()) == blob
        assert blob in bundle or blob.removeprefix("sha256:") in bundle  # proved by the bundle's events
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=out / "records", capture_output=True, check=False)
    assert done.returncode == 0
    trace = json.loads((out / "trace.json").read_text())
    assert trace["version"] == "bot@1" and all("person" not in given for given in trace["approvals"])
    assert "PASS" in (out / "documents" / "evaluation-report.html").read_text()
    with pytest.raises(BadInput, match="exists"):
        export_release(house, "bot@1", out)
    with pytest.raises(BadInput, match="only a release is exported"):
        export_release(house, "bot@2", tmp_path / "other")


@pytest.mark.slow
def test_a_real_release_is_made_again(released: Path, command: Callable[..., Any]) -> None:
    done = command(released, "reproduce", "starter@1", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["reproduced"]
    assert findings(found)["adapter"] == "same"  # one worker on the same machine
