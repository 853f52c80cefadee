"""Check the bytes of TensorBoard's files; `make sinks-check` reads them with TensorBoard itself."""

import struct
from pathlib import Path

from driver.sinks.tensorboard import TensorBoardSink, crc32c


def records(folder: Path) -> list[list[bytes]]:
    """Return the records of each file, in the order of the files, whose lengths must be right."""
    found = []
    for file in sorted(folder.iterdir(), key=lambda path: path.name.rpartition(".")[2]):
        data, place, of_file = file.read_bytes(), 0, []
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            of_file.append(data[place + 12 : place + 12 + length])
            place += 16 + length
        assert place == len(data)
        found.append(of_file)
    return found


def test_the_checksum_is_crc_32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue of CRC algorithms
    assert crc32c(b"\x00" * 32) == 0x8A9136AA  # RFC 3720, B.4


def test_a_step_is_an_event_with_one_value_for_each_metric(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path, clock=lambda: 1.5)
    sink.step(300, {"a": 0.25})
    sink.close()
    ((version, step),) = records(tmp_path)
    wall_time = b"\x09" + struct.pack("<d", 1.5)
    assert version == wall_time + b"\x1a\x0dbrain.Event:2"
    value = b"\x0a\x01a" + b"\x15" + struct.pack("<f", 0.25)
    assert step == wall_time + b"\x10\xac\x02" + b"\x2a\x0a" + b"\x0a\x08" + value  # 300 is 0xac 0x02 as a varint


def test_a_continued_run_has_a_file_of_its_own_that_replaces_what_is_done_again(tmp_path: Path) -> None:
    for after_step in (0, 2):
        TensorBoardSink(tmp_path, after_step=after_step, clock=lambda: 1.5).close()
    first, second = records(tmp_path)
    assert len(first) == 1
    assert second[1][9:] == b"\x10\x03" + b"\x3a\x02\x08\x01"  # step 3, SessionLog.START
