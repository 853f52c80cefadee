"""Test what `make audit-packages` concludes: silence of a service is never taken for safety."""

import json

import pytest

from benchmarks.audit_packages import Audit, conclude, read_report, without_local_versions

REPORT = {
    "dependencies": [
        {"name": "safe", "version": "1.0", "vulns": []},
        {"name": "holed", "version": "2.0", "vulns": [{"id": "A-1", "fix_versions": ["2.1"]}, {"id": "A-2"}]},
        {"name": "unheard-of", "skip_reason": "Dependency not found"},
    ],
    "fixes": [],
}
SAFE, UNKNOWN = Audit(audited=("a", "b")), Audit(skipped=("a", "b"))
UNREACHABLE = Audit(failure="no name resolution")


def test_a_report_says_what_was_audited_skipped_and_found() -> None:
    assert read_report(json.dumps(REPORT)) == Audit(
        audited=("safe", "holed"), skipped=("unheard-of",), vulnerable=("holed 2.0: A-1, A-2",)
    )


@pytest.mark.parametrize(
    ("audits", "code"),
    [
        ({"one": SAFE}, 0),
        ({"one": UNKNOWN, "two": SAFE}, 0),
        ({"one": Audit(audited=("a",), vulnerable=("a 1: A-1",))}, 1),
        ({"one": Audit(audited=("a",), skipped=("b",), vulnerable=("a 1: A-1",))}, 1),
        ({"one": Audit(audited=("a",), skipped=("b",))}, 2),
        ({"one": UNKNOWN, "two": UNREACHABLE}, 2),
        ({"one": UNREACHABLE, "two": UNREACHABLE}, 2),
    ],
)
def test_only_packages_that_a_service_knows_count_as_audited(audits: dict[str, Audit], code: int) -> None:
    assert conclude("list.txt", audits)[0] == code


def test_every_service_that_gave_no_answer_is_named_with_its_reason() -> None:
    _, lines = conclude("list.txt", {"one": UNKNOWN, "two": UNREACHABLE})
    assert [service in line for service, line in zip(("list.txt", "one", "two"), lines, strict=True)] == [True] * 3
    assert "no name resolution" in lines[2]


def test_a_build_is_audited_as_the_version_that_it_is_a_build_of() -> None:
    assert without_local_versions("# a comment\ntorch==2.13.0+cpu\nnumpy==2.0") == "torch==2.13.0\nnumpy==2.0"
