"""Text made safe to read: what is cleaned before anything looks at a response.

Owns cleaning. Knows characters only, no language and no reward.
"""

import re
import unicodedata

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """NFC text without control characters, direction marks and zero-width spaces; a lone surrogate becomes U+FFFD."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", _SURROGATE.sub("\ufffd", text)))
