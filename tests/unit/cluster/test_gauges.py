"""Check what Ray is given for the metrics of a run; tests/integration/test_prometheus.py looks at what comes out."""

import pytest

from cluster.gauges import ascii_only


@pytest.mark.parametrize(
    ("text", "given"), [("runs-1", "runs-1"), ("KL(a ‖ b)", "KL(a \\u2016 b)"), ("Übung", "\\xdcbung")]
)
def test_ray_gets_ascii(text: str, given: str) -> None:
    assert ascii_only(text) == given
