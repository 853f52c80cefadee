"""Damaged problem sets: each way to fail ends in one line that names the file and the row."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driver.problems.hub_tables import open_huggingface
from driver.problems.index import TableSource
from driver.problems.mgsm import MgsmTable
from driver.problems.parallel import load_solutions
from driver.problems.rows import COLUMNS
from driver.problems.tables import JsonlTable, ParquetTable
from tests.refusals import refused

ROW: dict[str, object] = {
    "item_id": "a",
    "language": "de",
    "question": "Wie viele?",
    "question_en": "How many?",
    "answer": 3,
}
DIGITS = "9" * 5000


def row(number: int) -> dict[str, object]:
    return ROW | {"item_id": f"item-{number}", "question": f"Wie viele Nüsse sind in {number} Säcken?"}


def parquet(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path, compression="none", use_dictionary=False)
    return path


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize(
    "line",
    [
        f'{{"item_id": {DIGITS}}}',
        f'{{"answer": -{DIGITS}}}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"answer": ' + "[" * 5000 + "]" * 5000 + "}",
    ],
)
def test_a_json_line_beyond_python_s_limits_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n\n{line}\n", encoding="utf-8")
    with refused("problems.jsonl", f"{path}, line 3:"):
        TableSource(JsonlTable(path), name=str(path))


@pytest.mark.parametrize("column", ["item_id", "question", "answer"])
@pytest.mark.parametrize("depth", [20, 400, 700])
def test_a_nested_value_is_refused_by_its_column_in_a_short_line(tmp_path: Path, column: str, depth: int) -> None:
    path = tmp_path / "problems.jsonl"
    value: object = "x" * 1000
    for _ in range(depth):
        value = [value]
    path.write_text(json.dumps(ROW | {column: value}), encoding="utf-8")
    with refused(column, f"{path}, line 1:"):
        TableSource(JsonlTable(path), name=str(path))


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "1e999"])
def test_an_answer_that_is_no_finite_number_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(ROW).replace('"answer": 3', f'"answer": {number}'), encoding="utf-8")
    with refused("answer", "line 1:"):
        TableSource(JsonlTable(path), name=str(path))


def test_an_answer_that_is_not_a_number_counts_as_missing(tmp_path: Path) -> None:
    path = parquet(tmp_path / "p.parquet", [row(1) | {"answer": float("nan")}])
    source = TableSource(ParquetTable(path, columns=COLUMNS), name="p")
    assert source.problem("de", 0).answer is None


def test_parquet_text_that_is_not_utf8_is_refused_with_its_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "p.parquet", [row(number) for number in range(1, 5)])
    replaced(path, b"in 3 S", b"in \xff S")
    with refused("p.parquet", f"{path}, row 3:"):
        TableSource(ParquetTable(path, columns=COLUMNS), name="p")


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_damaged_page_of_parquet_is_refused(tmp_path: Path, compression: str, share: float) -> None:
    path = tmp_path / "p.parquet"
    table = pa.Table.from_pylist([row(number) for number in range(2000)])
    pq.write_table(table, path, compression=compression, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    start = int(len(content) * share)
    content[start : start + 64] = bytes(byte ^ 0x5A for byte in content[start : start + 64])
    path.write_bytes(content)
    with refused("p.parquet", str(path)):
        TableSource(ParquetTable(path, columns=COLUMNS), name="p")


@pytest.mark.parametrize("kept", [0, 3, 8, 100, -1, -8, -300])
def test_truncated_parquet_is_refused(tmp_path: Path, kept: int) -> None:
    path = parquet(tmp_path / "p.parquet", [row(number) for number in range(50)])
    path.write_bytes(path.read_bytes()[:kept])
    with refused("p.parquet", str(path)):
        ParquetTable(path, columns=COLUMNS)


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    arrays = [pa.array(["a"]), pa.array(["de"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(arrays, names=["item_id", "language", "item_id"]), path)
    with refused("p.parquet", str(path)):
        ParquetTable(path, columns=COLUMNS)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["folder", "pipe"])
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "mgsm", "json"])
def test_a_path_that_is_no_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], None], kind: Literal["jsonl", "parquet", "mgsm", "json"]
) -> None:
    path = tmp_path / ("mgsm_en.tsv" if kind == "mgsm" else f"p.{kind}")
    make(path)
    with refused(path.name, str(path)):
        match kind:
            case "jsonl":
                JsonlTable(path)
            case "parquet":
                ParquetTable(path, columns=COLUMNS)
            case "mgsm":
                MgsmTable(tmp_path)
            case "json":
                load_solutions(str(path), languages=(), num_items=1, seed=0, split="test")


SCRIPT = """
import datasets

class Sums(datasets.GeneratorBasedBuilder):
    def _info(self):
        return datasets.DatasetInfo()
"""


def test_a_dataset_with_a_loading_script_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "sums.py").write_text(SCRIPT, encoding="utf-8")
    with refused(str(folder), str(folder)):
        open_huggingface(str(folder), split="train")
    with refused(str(folder / "sums.py")):
        open_huggingface(str(folder / "sums.py"), split="train")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", b'{"a": 1}\n{"a": [[}\n'),
        ("train.json", b"\xff\xfe\x00"),
        ("train.parquet", b"PAR1 nothing PAR1"),
        ("train.csv", b"a,b\n1\n1,2,3\n"),
        ("train.csv", b"\xff\xff\xff"),
        ("README.md", b"---\nconfigs: [[[\n---\n"),
        ("README.md", b"---\nconfigs: 3\n---\n"),
        ("dataset_infos.json", b"{"),
    ],
)
def test_a_damaged_dataset_folder_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with refused(str(folder), str(folder)):
        open_huggingface(str(folder), split="train")


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff" * 100])
def test_a_damaged_saved_dataset_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    import datasets

    folder = tmp_path / "data"
    datasets.Dataset.from_list([row(1), row(2)]).save_to_disk(str(folder))
    (folder / name).write_bytes(content)
    with refused(str(folder), str(folder)):
        open_huggingface(str(folder), split="train")


def test_text_of_a_saved_dataset_that_is_not_utf8_is_refused_with_its_row(tmp_path: Path) -> None:
    import datasets

    folder = tmp_path / "data"
    datasets.Dataset.from_list([row(number) for number in range(1, 5)]).save_to_disk(str(folder))
    replaced(folder / "data-00000-of-00001.arrow", b"in 3 S", b"in \xff S")
    name = f"{folder}, split train"
    with refused(name, "row 3:"):
        TableSource(open_huggingface(str(folder), split="train"), name="data")
