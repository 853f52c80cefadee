"""Say why a reference cache that holds references has none for this run: what they were made with instead.

A cache finds a reference by a key, from which nothing can be read back. So each set of settings that wrote into a cache
leaves one small file there, `origins/<digest>.json`: what decides its references, by config key.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from contracts.files import write_whole

FOLDER = "origins"

Origin = Mapping[str, str]
"""What decides a reference, by config key; "prompt" is a digest of what is written around a question."""


def origin_note(folder: Path, origin: Origin, *, num_references: int) -> str | None:
    """Return one line about a cache whose references were all made with other settings; None where there is no such.

    Args:
        folder: of the cache.
        origin: of this run.
        num_references: in the cache.
    """
    if not num_references or _path(folder, origin).exists():
        return None
    others = sorted(_others(folder), key=lambda other: len(_differing(origin, other)))
    if not others:
        return (
            f"{folder}: its {num_references:,} references were made by an earlier version of the project, whose keys "
            "this one does not use; they are asked for again"
        )
    nearest = others[0]
    named = [
        f"{key} {nearest.get(key, 'not set')} (here {origin.get(key, 'not set')})"
        for key in _differing(origin, nearest)
    ]
    return (
        f"{folder}: none of its {num_references:,} references was made with this run's settings, so all are asked for; "
        f"the nearest were made with {', '.join(named)}"
    )


def keep_origin(folder: Path, origin: Origin) -> None:
    """Note that references of these settings are in the cache.

    Raises:
        OSError: it could not be written.
    """
    path = _path(folder, origin)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps(origin, ensure_ascii=False, indent=1), is_shared=True)


def _differing(one: Origin, other: Origin) -> list[str]:
    """Return the keys with other values. The prompt is named only where no other key explains that it differs."""
    keys = [key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)]
    return [key for key in keys if key != "prompt"] or keys


def _others(folder: Path) -> Iterator[Origin]:
    for path in (folder / FOLDER).glob("*.json"):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # it only serves a message
        if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
            yield found


def _path(folder: Path, origin: Origin) -> Path:
    digest = hashlib.blake2b(json.dumps(origin, sort_keys=True).encode(), digest_size=16).hexdigest()
    return folder / FOLDER / f"{digest}.json"
