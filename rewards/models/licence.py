"""Say in one line what a model's licence allows, when the model is chosen.

The licence comes from the model card, a licence file, or the list of known models.
"""

import re
from pathlib import Path

import yaml

from contracts.model_names import name_and_revision

# From the models' own cards and, for COMET, the list of licences in Unbabel's repository.
_KNOWN = {
    "wmt20-comet-da": "apache-2.0",
    "wmt20-comet-qe-da": "apache-2.0",
    "wmt21-comet-da": "apache-2.0",
    "wmt21-comet-qe-da": "apache-2.0",
    "wmt22-comet-da": "apache-2.0",
    "wmt22-cometkiwi-da": "cc-by-nc-sa-4.0",
    "wmt22-unite-da": "cc-by-nc-sa-4.0",
    "wmt23-cometkiwi-da-xl": "cc-by-nc-sa-4.0",
    "wmt23-cometkiwi-da-xxl": "cc-by-nc-sa-4.0",
    "nllb-200-distilled-600m": "cc-by-nc-4.0",
    "nllb-200-distilled-1.3b": "cc-by-nc-4.0",
    "nllb-200-1.3b": "cc-by-nc-4.0",
    "nllb-200-3.3b": "cc-by-nc-4.0",
}
_NON_COMMERCIAL = re.compile(r"(?i)\bnc\b|non-?commercial")
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


def licence_note(name: str, folder: Path) -> str:
    """Return one line: the model, its licence, and whether the licence forbids commercial use."""
    known = _KNOWN.get(Path(name_and_revision(name)[0]).name.lower())
    licence = _from_card(folder / "README.md") or _from_file(folder) or known
    if licence is None:
        return f"{name}: its licence is unknown; read its model card before you use it, above all for commercial use"
    if _NON_COMMERCIAL.search(licence):
        return f"{name}: its licence is {licence}: NOT for commercial use"
    return f"{name}: its licence is {licence}"


def _from_card(card: Path) -> str | None:
    """Return `license` of the YAML at the start of a model card; None without one."""
    if not card.is_file():
        return None
    matter = _FRONT_MATTER.match(card.read_text(encoding="utf-8", errors="replace"))
    try:
        found = yaml.safe_load(matter[1]) if matter else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # a card is free text: one that can't be parsed tells nothing
    licence = found.get("license") if isinstance(found, dict) else None
    return str(licence) if licence else None


def _from_file(folder: Path) -> str | None:
    """Return what the first licence file that can be classified allows; None without one."""
    for path in sorted(file for file in folder.glob("LICENSE*") if file.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")[:4000]
        if _NON_COMMERCIAL.search(text):
            return "non-commercial"
        if "Apache License" in text:
            return "apache-2.0"
    return None
