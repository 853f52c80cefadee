"""Test tables that are text: what CSV, TSV and JSON may hold, and what is refused with file and line."""

import json
from pathlib import Path

import pytest

from driver.problems.tables import Table
from driver.problems.text_tables import CsvTable, TsvTable, open_json
from tests.refusals import refused

CSV = (
    '\ufeffid,question,answer\r\n1,"Wie viele ""Äpfel"",\nund wie viele Birnen?",3\r\n\r\n2,Wie teuer?,\r\n3,"Letzte",5'
)
CSV_ROWS = [
    {"id": "1", "question": 'Wie viele "Äpfel",\nund wie viele Birnen?', "answer": "3"},
    {"id": "2", "question": "Wie teuer?", "answer": ""},
    {"id": "3", "question": "Letzte", "answer": "5"},
]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(table: Table) -> list[dict[str, object]]:
    """Return all rows; each is read by its number too, in another order, and must be the same."""
    found = [dict(row) for row in table.rows()]
    again = {number: dict(table.row(number)) for number in reversed(range(len(table)))}
    assert [again[number] for number in range(len(table))] == found
    return found


def test_csv_may_have_quotes_line_ends_in_cells_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    table = CsvTable(written(tmp_path / "p.csv", CSV))
    assert table.columns == ["id", "question", "answer"]
    assert rows(table) == CSV_ROWS
    assert [table.where(number).rpartition(", ")[2] for number in range(3)] == ["line 2", "line 5", "line 6"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_of_a_csv_file_is_found(tmp_path: Path, separator: str) -> None:
    text = separator.join(("question", "answer")) + "\n" + separator.join(('"a, b; c\td"', "1")) + "\n"
    assert rows(CsvTable(written(tmp_path / "p.csv", text))) == [{"question": "a, b; c\td", "answer": "1"}]


def test_a_quote_in_tsv_is_a_character_like_others(tmp_path: Path) -> None:
    table = TsvTable(written(tmp_path / "p.tsv", 'question\tanswer\n"Sag eins\t1\n\nZwei"\t2\n'))
    assert rows(table) == [{"question": '"Sag eins', "answer": "1"}, {"question": 'Zwei"', "answer": "2"}]
    assert table.where(1).endswith("line 4")


@pytest.mark.parametrize("kind", [CsvTable, TsvTable])
def test_a_file_without_a_header_gets_its_names_from_the_config(
    tmp_path: Path, kind: type[CsvTable] | type[TsvTable]
) -> None:
    path = written(tmp_path / "p", "\ufeffEins\t1\nZwei\t2\n")
    table = kind(path, header=("question", "answer"))
    assert rows(table) == [{"question": "Eins", "answer": "1"}, {"question": "Zwei", "answer": "2"}]


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    assert rows(CsvTable(written(tmp_path / "p.csv", ",question,,\n0,a,,\n"))) == [{"question": "a"}]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("question,answer\nx,1\ny,2,3\n", ("line 3", "3 cells", "2 columns")),
        ("question,answer\nx\n", ("line 2", "1 cells")),
        ('question,answer\nx,1\n"y,2\nz,3\n', ("line 3",)),
        ('question,answer\n"a"b,1\n', ("line 2",)),
        ("question,question\na,b\n", ("'question'", "twice")),
        ("", ("empty",)),
        ("\ufeff", ("empty",)),
        ("question\nfür\n".encode("latin-1"), ("line 2", "UTF-8")),
        ("question\nx\n".encode("utf-16"), ("UTF-16",)),
        ("question\nx\n".encode("utf-16-le"), ("UTF-16",)),
        (f"question\n{'x' * 200_000}\n", ("line 2", "131072")),
    ],
)
def test_a_broken_csv_file_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, named: tuple[str, ...]
) -> None:
    path = written(tmp_path / "p.csv", content)
    with refused("p.csv", str(path), *named):
        CsvTable(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("question\tanswer\nx\t1\ny\n", ("line 3", "1 cells")),
        ("a\ta\n1\t2\n", ("'a'", "twice")),
        ("question\tanswer\nf\xfcr\t1\n".encode("latin-1"), ("line 2", "UTF-8")),
    ],
)
def test_a_broken_tsv_file_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, named: tuple[str, ...]
) -> None:
    path = written(tmp_path / "p.tsv", content)
    with refused("p.tsv", str(path), *named):
        TsvTable(path)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"question": "a"}, {"question": "b"}], indent=1),
        json.dumps({"question": ["a", "b"]}),
        '{"question": "a"}\n{"question": "b"}\n',
    ],
)
def test_json_may_be_a_list_of_objects_an_object_of_lists_or_an_object_in_each_line(tmp_path: Path, text: str) -> None:
    assert rows(open_json(written(tmp_path / "p.json", text))) == [{"question": "a"}, {"question": "b"}]


@pytest.mark.parametrize("text", ["", "[]", " \n"])
def test_an_empty_json_file_has_no_rows(tmp_path: Path, text: str) -> None:
    assert len(open_json(written(tmp_path / "p.json", text))) == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"question": ["a", "b"], "answer": [1]}', ("question 2", "answer 1")),
        ('{"data": {"a": 1}}', ("data",)),
        ('[{"question": "a"}, 3]', ("row 2", "3")),
        ('"a"', ("str",)),
        ('[{"question": "a"},]', ("line 1", "JSON")),
        ("[" * 100_000, ("nested",)),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    path = written(tmp_path / "p.json", text)
    with refused("p.json", str(path), *named):
        open_json(path)
