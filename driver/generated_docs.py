"""Write the pages of the documentation that are made from code: `python -m driver.generated_docs`, or `make docs`."""

from collections.abc import Callable, Mapping

from contracts.config.describe import configuration_page
from contracts.paths import ROOT
from driver.tracking.metrics_page import metrics_page

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/configuration.md": configuration_page,
    "docs/metrics.md": metrics_page,
}
"""Path of a page from the root of the repository -> the function that returns its text."""


def write_pages() -> None:
    """Write every generated page anew."""
    for path, text in PAGES.items():
        (ROOT / path).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write_pages()
