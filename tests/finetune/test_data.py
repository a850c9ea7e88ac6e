"""Rows are read and checked before anything expensive; every error names file, line, found and expected."""

import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data import Row, read_rows, read_source
from tunegate_core.config import DataBlock
from tunegate_core.errors import DataError

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def rows_of(path: Path, form: Literal["auto", "chat", "completion", "text"] = "auto") -> list[Row]:
    return read_rows(DataBlock(source=str(path), form=form))


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def refused(path: Path, *told: str, form: Literal["auto", "completion"] = "auto") -> None:
    with pytest.raises(DataError) as error:
        rows_of(path, form)
    for words in (path.name, *told):
        assert words in str(error.value)


def test_a_chat_keeps_order_roles_and_place(tmp_path: Path) -> None:
    system = {"messages": [{"role": "system", "content": "Be kind"}, *CHAT["messages"]], "id": 7}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(CHAT) + "\n\n" + json.dumps(system) + "\n", "utf-8")
    first, second = rows_of(path)
    assert (first.index, first.line, first.form) == (0, 1, "chat")
    assert (second.index, second.line) == (1, 3)
    assert second.messages == system["messages"]
    assert json.loads(second.canonical) == {"messages": system["messages"]}


@pytest.mark.parametrize(
    ("record", "form"), [({"prompt": "a", "completion": "b"}, "completion"), ({"text": "c", "id": 1}, "text")]
)
def test_other_forms_are_told_by_their_keys(tmp_path: Path, record: dict[str, object], form: str) -> None:
    assert [row.form for row in rows_of(write(tmp_path / "a.jsonl", record, record))] == [form, form]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_text_survives_every_file_format(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("formats")
    records = [{"text": text} for text in texts]
    write(folder / "a.jsonl", *records)
    (folder / "a.json").write_text(json.dumps(records), "utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), folder / "a.parquet")
    read = [[row.parts[0].text for row in rows_of(folder / f"a.{kind}")] for kind in ("jsonl", "json", "parquet")]
    assert read == [texts] * 3


def test_csv_knows_its_lines_and_carries_chats_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\n"two\nlines",b\nc,d\n', "utf-8")
    assert [(row.line, row.parts[0].text) for row in rows_of(path)] == [(2, "two\nlines"), (4, "c")]
    quoted = json.dumps(CHAT["messages"]).replace('"', '""')
    path.write_text(f'messages\n"{quoted}"\n', "utf-8")
    assert rows_of(path)[0].messages == CHAT["messages"]


def test_a_csv_cell_may_be_a_document_and_a_column_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,,\n" + "y" * 200_000 + ",1,2\n", "utf-8")
    assert len(rows_of(path)[0].parts[0].text) == 200_000
    path.write_text("text,text\na,b\n", "utf-8")
    refused(path, "line 1", "'text' stands twice")


def test_the_source_is_named_without_its_folder(tmp_path: Path) -> None:
    assert read_source(DataBlock(source=str(write(tmp_path / "a.jsonl", CHAT)))).name == "a.jsonl"


def test_a_missing_an_empty_and_an_unknown_file(tmp_path: Path) -> None:
    refused(tmp_path / "gone.jsonl", "no such file")
    for name in ("a.jsonl", "a.json", "a.csv", "a.parquet"):
        (tmp_path / name).write_text("\n", "utf-8")
        refused(tmp_path / name, "no rows")
    (tmp_path / "header.csv").write_text("text\n", "utf-8")
    refused(tmp_path / "header.csv", "no rows")
    (tmp_path / "mark.csv").write_text("", "utf-8-sig")
    refused(tmp_path / "mark.csv", "no rows")
    (tmp_path / "a.txt").write_text("x", "utf-8")
    refused(tmp_path / "a.txt", "'.txt'", ".jsonl")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_text_that_is_not_utf8_is_named_by_its_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{"text": "fine"}\n{"text": "caf\xe9"}\n')
    refused(path, "line 2", "0xe9", "UTF-8")


def test_a_cut_off_file_is_named_by_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(CHAT) + "\n" + json.dumps(CHAT)[:30], "utf-8")
    refused(path, "line 2", "cut off")
    path.write_text(json.dumps(CHAT)[:30] + "\n" + json.dumps(CHAT) + "\n", "utf-8")
    refused(path, "line 1", "not valid JSON")
    path.write_text('{"text": "a\tb"}', "utf-8")  # the last line of the file, and whole
    with pytest.raises(DataError, match="Invalid control character") as error:
        rows_of(path)
    assert "cut off" not in str(error.value)
    (tmp_path / "a.json").write_text(json.dumps([CHAT, CHAT])[:60], "utf-8")
    refused(tmp_path / "a.json", "line 1", "cut off")
    (tmp_path / "a.csv").write_text('text\nfine\n"never closed\n', "utf-8")
    refused(tmp_path / "a.csv", "line 3", "cut off")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    refused(tmp_path / "a.parquet", "cut off")


def test_rows_in_mixed_forms_are_refused_with_both_places(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.jsonl", CHAT, CHAT, {"text": "x"}), "line 3", "form text", "expected chat", "line 1")


def test_a_row_of_two_forms_or_none_asks_for_a_decision(tmp_path: Path) -> None:
    both = write(tmp_path / "a.jsonl", {"text": "x", **CHAT})
    refused(both, "line 1", "chat and text", "finetune.data.form")
    assert rows_of(both, "chat")[0].form == "chat"
    refused(write(tmp_path / "b.jsonl", {"question": "x"}), "line 1", "the keys question", "prompt and completion")
    refused(write(tmp_path / "c.jsonl", {"prompt": "x"}), "needs 'completion'", "the keys prompt", form="completion")


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ("Hi", "list of messages"),
        ([], "list of messages"),
        (["Hi"], "message 1 is str"),
        ([{"role": "tool", "content": "x"}], "'tool', expected one of system, user, assistant"),
        ([{"role": "bot", "content": "x"}], "'bot'"),
        ([{"content": "x"}], "None"),
        ([{"role": "user", "content": ["x"]}], "content is a list, expected text"),
        ([{"role": "user", "content": None}], "content is null, expected text"),
        ([{"role": "assistant", "content": "x", "weight": 0}], "'weight'"),
        ([{"role": "user", "content": "x"}], "last message has the role user, expected assistant"),
        ([*CHAT["messages"], {"role": "system", "content": "x"}, CHAT["messages"][1]], "message 3 has the role system"),
        ([{"role": "assistant", "content": "\ud800"}], "surrogate"),
    ],
)
def test_a_wrong_message_is_named(tmp_path: Path, messages: object, told: str) -> None:
    refused(write(tmp_path / "a.jsonl", CHAT, {"messages": messages}), "line 2", told)


@pytest.mark.parametrize("record", [{"text": 1}, {"text": None}, {"prompt": "a", "completion": 2.5}])
def test_a_wrong_type_is_named(tmp_path: Path, record: dict[str, object]) -> None:
    refused(write(tmp_path / "a.jsonl", record), "line 1", "expected text")


def test_what_is_no_object_or_no_list_is_refused(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.jsonl", [1]), "line 1", "expected a JSON object")
    (tmp_path / "a.json").write_text("{}", "utf-8")
    refused(tmp_path / "a.json", "expected a list of rows")
    (tmp_path / "a.csv").write_text("prompt,completion\na\n", "utf-8")
    refused(tmp_path / "a.csv", "line 2", "1 fields, expected 2")


def test_nulls_in_a_parquet_message_are_no_keys(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    messages = [{"role": "user", "content": "a", "name": None}, {"role": "assistant", "content": "b", "name": None}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"messages": messages}]), tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet")[0].messages[1] == {"role": "assistant", "content": "b"}


def test_a_parquet_value_that_python_can_not_hold_is_an_error(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    late = pyarrow.array([9 * 10**18], pyarrow.timestamp("us"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"], "at": late}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "a value that can't be read")


def test_a_file_has_no_revision_and_an_unreachable_hub_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", CHAT)
    with pytest.raises(DataError, match="no revisions"):
        read_rows(DataBlock(source=str(path), revision="main"))
    with pytest.raises(DataError, match=r"no splits; remove finetune.data.split \(test\)"):
        read_rows(DataBlock(source=str(path), split="test"))
    with pytest.raises(DataError, match="hub://nobody/nothing"):
        read_rows(DataBlock(source="hub://nobody/nothing"))


def test_a_hub_data_set_is_read_at_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub

    asked = []

    def snapshot(name: str, **settings: object) -> str:
        asked.append((name, settings["revision"], settings["repo_type"]))
        return "/cache/snapshots/0123abcd"

    def load(name: str, config: str | None, **settings: object) -> datasets.Dataset:
        asked.append((name, config, settings["split"], settings["revision"]))
        return datasets.Dataset.from_list([CHAT])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(datasets, "load_dataset", load)
    found = read_source(DataBlock(source="hub://org/talks/en", revision="main", split="test"))
    assert asked == [("org/talks", "main", "dataset"), ("org/talks", "en", "test", "0123abcd")]
    assert (found.name, found.revision) == ("hub://org/talks/en", "0123abcd")
    assert found.rows[0].messages == CHAT["messages"]
