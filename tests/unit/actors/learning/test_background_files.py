"""Check that files are written beside other work, and that whoever changes their source can wait for them."""

import threading

from actors.learning.background_files import BackgroundFiles, Sums
from contracts.errors import CheckpointFailed
from contracts.sealed_folder import FileSum

DONE: Sums = {"file": FileSum(size=3, sha256="abc")}


def test_what_is_written_is_known_at_the_end_and_not_before() -> None:
    files, may_end, ended = BackgroundFiles(), threading.Event(), threading.Event()

    def write() -> Sums:
        may_end.wait()
        ended.set()
        return DONE

    files.begin(write)
    assert not ended.is_set()  # `begin` did not wait
    may_end.set()
    files.wait()
    assert ended.is_set()
    assert files.written().sums == DONE
    assert files.written().failure == ""


def test_a_failure_is_told_at_the_end_and_does_not_stop_what_waits() -> None:
    files = BackgroundFiles()

    def fail() -> Sums:
        raise CheckpointFailed("shard: No space left on device")

    files.begin(fail)
    files.wait()
    written = files.written()
    assert (written.sums, written.failure) == ({}, "shard: No space left on device")


def test_nothing_to_wait_for_before_the_first_files() -> None:
    BackgroundFiles().wait()


def test_the_next_files_begin_when_the_last_have_ended() -> None:
    files, order = BackgroundFiles(), []

    def write(name: str) -> Sums:
        order.append(name)
        return {name: FileSum(size=1, sha256="")}

    for name in ("first", "second"):
        files.begin(lambda name=name: write(name))
    assert files.written().sums.keys() == {"second"}
    assert order == ["first", "second"]
