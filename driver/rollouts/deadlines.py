"""Which finished groups may be learned from now, so that no other grows too old meanwhile.

Owns that arithmetic, earliest deadline first. Pure: a group is its deadline, the last policy version that may learn
from it: the version that drew it plus `algorithm.max_staleness`.

A step takes `size` groups and makes at most one new version. With at most (max_staleness + 1) x size groups in flight,
a choice that leaves no more than (d - version) x size groups of deadline d or earlier always exists, and keeps its own
promise at the next version: nothing is ever dropped for its age. Only a version that jumps (a learner that was
restarted) can break it.
"""

from collections import Counter
from collections.abc import Sequence


def choose(ready: Sequence[int], waiting: Sequence[int], *, version: int, size: int) -> list[int] | None:
    """Indices into `ready` of the groups that version `version` learns from, those of the earliest deadlines; of equal
    ones the first. None: wait for another to finish, because too few are ready, or because an older one is still under
    way whose time would be over.
    """
    if len(ready) < size:
        return None
    order = sorted(range(len(ready)), key=lambda index: (ready[index], index))
    chosen = order[:size]
    latest_chosen = ready[chosen[-1]]
    num_older = 0
    for deadline, number in sorted(Counter(waiting).items()):
        # Waiting helps only where an older one could take the place of a younger one that is chosen; of those that are
        # older, none is left ready.
        if deadline >= latest_chosen:
            break
        num_older += number
        if num_older > (deadline - version) * size:
            return None
    return chosen
