"""Compare a corrected edition of a set with its original, where one evaluation measured both.

The items are the same, and some questions were replaced. On these the two differ by the faults of the original; on the
others, only by chance.
"""

from collections.abc import Sequence
from statistics import fmean

from driver.evaluation.judging import JudgedRow
from driver.evaluation.results import Edition
from driver.evaluation.summarise import is_right, scores

REPLACED = "True"
"""What the tag of a replaced row says."""


def editions(original: Sequence[JudgedRow], corrected: Sequence[JudgedRow]) -> tuple[Edition, ...]:
    """Return, for each language that both have, the accuracies on the items of both.

    Args:
        original: rows of the original set.
        corrected: rows of the corrected one; their tag marks the replaced items.
    """
    before, after = scores(original, is_right), scores(corrected, is_right)
    replaced = {(row.language, row.item_id) for row in corrected if row.tag == REPLACED}
    found = []
    for language in before.keys() & after.keys():
        shared = before[language].keys() & after[language].keys()
        changed = [item for item in shared if (language, item) in replaced]
        if shared:
            found.append(
                Edition(
                    language=language,
                    num_items=len(shared),
                    num_replaced=len(changed),
                    original=fmean(before[language][item] for item in shared),
                    corrected=fmean(after[language][item] for item in shared),
                    original_replaced=fmean(before[language][item] for item in changed) if changed else None,
                    corrected_replaced=fmean(after[language][item] for item in changed) if changed else None,
                )
            )
    return tuple(sorted(found, key=lambda edition: edition.language))
