"""Open every kind of report in a real browser, as wide as a desk's screen and as a phone, in light and in dark."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest

from driver.evaluation.comparison import compare
from driver.evaluation.entries import entries_of
from driver.report.comparison_page import comparison_html
from driver.report.write import write_report
from tests.browser import Seen, browser, look
from tests.runs.report_folders import (
    a_failed_run,
    a_run_that_learned_nothing,
    a_training_run,
    an_audit,
    an_evaluation,
)

pytestmark = pytest.mark.skipif(browser() is None, reason="no Chromium is on PATH (Debian package chromium)")

PHONE, DESK = 390, 1280
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 24, 28)"


def a_comparison(folder: Path) -> Path:
    page = a_training_run(folder) / "comparison.html"
    page.write_text(comparison_html(compare(entries_of([folder]))), encoding="utf-8")
    return page


PAGES: Mapping[str, Callable[[Path], Path]] = {
    "trained": lambda folder: write_report(a_training_run(folder)),
    "failed": lambda folder: write_report(a_failed_run(folder)),
    "learned nothing": lambda folder: write_report(a_run_that_learned_nothing(folder)),
    "empty": lambda folder: (folder.mkdir(), write_report(folder))[1],
    "evaluated": lambda folder: write_report(an_evaluation(folder)),
    "compared": a_comparison,
    "audited": lambda folder: write_report(an_audit(folder)),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    return {kind: write(folder / kind.replace(" ", "-")) for kind, write in PAGES.items()}


@pytest.fixture
def see(pages: dict[str, Path], tmp_path: Path) -> Callable[[str, int, Literal["light", "dark"]], Seen]:
    return lambda kind, width, scheme: look(pages[kind], width=width, scheme=scheme, profile=tmp_path / scheme)


Look = Callable[[str, int, Literal["light", "dark"]], Seen]


@pytest.mark.parametrize("kind", PAGES)
def test_nothing_is_cut_off_on_a_phone_and_nothing_fails(kind: str, see: Look) -> None:
    seen = see(kind, PHONE, "dark")
    assert (seen.errors, seen.wide) == ([], [])
    assert seen.width <= seen.inner == PHONE
    assert seen.background == DARK


@pytest.mark.parametrize("kind", PAGES)
def test_nothing_is_cut_off_on_a_desk_and_nothing_fails(kind: str, see: Look) -> None:
    seen = see(kind, DESK, "light")
    assert (seen.errors, seen.wide) == ([], [])
    assert seen.width <= seen.inner == DESK
    assert seen.background == LIGHT


def test_a_page_that_is_too_wide_or_asks_for_something_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wide.html"
    page.write_text(
        '<!doctype html><div style="width:3000px">wide</div><img src="nothing.png"><script>null.x</script>',
        encoding="utf-8",
    )
    seen = look(page, width=PHONE, scheme="light", profile=tmp_path / "profile")
    assert seen.width >= 3000
    assert seen.wide
    assert len(seen.errors) >= 2
