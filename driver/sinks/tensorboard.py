"""Write the metrics of every step as files that TensorBoard reads. No package is needed for it.

A file is a sequence of records in the format of TFRecord (https://www.tensorflow.org/tutorials/load_data/tfrecord).
Each one is an `Event` of TensorFlow's event.proto, in the wire format of protocol buffers
(https://protobuf.dev/programming-guides/encoding/).
"""

import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_VERSION = b"brain.Event:2"
_START = 1  # SessionLog.START: steps from here on replace those of the files before


class TensorBoardSink:
    """Write one file for each start of a run. Every step is flushed, so that a kill loses none."""

    def __init__(self, folder: Path, *, after_step: int = 0, clock: Callable[[], float] = time.time) -> None:
        """Start a file in the folder, which is made; `after_step` is the last step that an earlier start made.

        Raises:
            OSError: the file can't be written.
        """
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("events.out.tfevents.*")))
        self._clock = clock
        self._file = (folder / f"events.out.tfevents.{int(clock()):010d}.run.{number}").open("ab")
        self._write(_text(3, _VERSION))
        if number:  # a run that starts anew in its folder does all steps again
            self.cut_back(after_step)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a finished step, each as a scalar under its name."""
        values = b"".join(_text(1, _text(1, name.encode()) + _float(2, value)) for name, value in metrics.items())
        self._write(_int(2, step) + _text(5, values))

    def cut_back(self, step: int) -> None:
        """Let the steps after this one, which are done again, replace themselves."""
        self._write(_int(2, step + 1) + _text(7, _int(1, _START)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: bytes) -> None:
        data = _double(1, self._clock()) + event
        length = struct.pack("<Q", len(data))
        self._file.write(length + _masked_crc(length) + data + _masked_crc(data))
        self._file.flush()


# --- protocol buffers -------------------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _int(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _double(field: int, number: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", number)


def _text(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _float(field: int, number: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", number)


# --- checksums of records ---------------------------------------------------------------------------------------------


def _table() -> tuple[int, ...]:
    """Return the remainders of all bytes for CRC-32C (RFC 3720, appendix B.4), in reflected form."""
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        found.append(byte)
    return tuple(found)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of the data."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked_crc(data: bytes) -> bytes:
    """Return the checksum as TFRecord stores it: rotated and shifted."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
