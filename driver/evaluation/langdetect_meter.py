"""Measure the language of a response as many papers do: by langdetect's first choice over the whole text."""

from pathlib import Path

from langdetect import PROFILES_DIRECTORY, DetectorFactory, LangDetectException

from driver.evaluation.lingua_meter import readable_part

SEED = 0
"""Seed of langdetect, which draws at random: 0 is what its documentation shows, and what papers take."""
_NAMES = {"zh": ("zh-cn", "zh-tw"), "nb": ("no",), "nn": ("no",), "fil": ("tl",)}
"""Names of langdetect where they are not the ISO 639 code."""


class LangdetectMeter:
    """Say whether a text is in a language by langdetect (a port of Shuyo 2010), among all its 55 profiles."""

    def __init__(self) -> None:
        self._factory = DetectorFactory()
        # In the order of their names, not of the disk: random draws depend on it.
        profiles = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if path.is_file())
        self._factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
        self._factory.seed = SEED
        self._known = frozenset(self._factory.get_lang_list())

    def is_in(self, text: str, language: str) -> bool | None:
        """Return whether langdetect takes a text for `language` (ISO 639); None if it does not know the language."""
        names = _NAMES.get(language, (language,))
        if self._known.isdisjoint(names):
            return None
        if (plain := readable_part(text)) is None:
            return True
        detector = self._factory.create()
        detector.append(plain)
        try:
            return detector.detect() in names
        except LangDetectException:  # it finds nothing that any of its profiles has
            return False
