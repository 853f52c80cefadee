"""Check what is read of a file that another process writes, cuts off and replaces."""

import json
from pathlib import Path

from driver.watch.tail import Added, LineTail


def lines(*numbers: int) -> str:
    return "".join(json.dumps({"n": number}) + "\n" for number in numbers)


def numbers(added: Added) -> list[int]:
    return [record["n"] for record in added.records]


def test_only_what_was_added_is_read_and_a_line_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    tail = LineTail(path=path)
    assert tail.read() == Added(records=[], starts_over=False)
    path.write_text(lines(1, 2) + '{"n": 3', encoding="utf-8")
    assert numbers(tail.read()) == [1, 2]
    with path.open("a", encoding="utf-8") as file:
        file.write("}\n" + lines(4))
    added = tail.read()
    assert (numbers(added), added.starts_over) == ([3, 4], False)
    assert numbers(tail.read()) == []


def test_a_file_that_was_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text(lines(1, 2, 3), encoding="utf-8")
    tail = LineTail(path=path)
    tail.read()
    other.write_text(lines(1, 2, 9, 10), encoding="utf-8")
    other.rename(path)
    added = tail.read()
    assert (numbers(added), added.starts_over) == ([1, 2, 9, 10], True)


def test_a_file_that_is_gone_or_became_shorter_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(lines(1, 2), encoding="utf-8")
    tail = LineTail(path=path)
    tail.read()
    path.write_text(lines(7), encoding="utf-8")
    assert numbers(tail.read()) == [7]
    path.unlink()
    assert tail.read() == Added(records=[], starts_over=True)


def test_lines_without_an_object_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(lines(1) + '{"n"\n\n[2]\n' + lines(3), encoding="utf-8")
    tail = LineTail(path=path)
    assert numbers(tail.read()) == [1, 3]
    assert tail.num_unreadable == 2
