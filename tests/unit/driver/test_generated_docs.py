"""Check that the generated pages of the documentation are those that the code makes now."""

import pytest

from contracts.paths import ROOT
from driver.generated_docs import PAGES


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    """`make docs` writes the pages anew."""
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES[path]()
