"""Take languages in turn, in proportion to their shares, as evenly as whole turns allow.

The next turn follows from how many each language has had.

Language i, of share p_i, should have had p_i x t turns after t of them. So its turn number n + 1 may come at the first
t where p_i x t exceeds n, and must come by t = ceil((n + 1) / p_i). Of the languages whose turn may come, the one
whose turn must come first is next: earliest deadline first, which meets all deadlines that can be met (Horn 1974), and
these can (Tijdeman 1980, "The chairman assignment problem"; Baruah et al. 1996, "Proportionate progress"). So after
any number of turns every language is less than one turn ahead of its share or behind, and over any stretch of turns
less than two. The smooth weighted round robin of load balancers does not promise that: with many small shares beside
large ones it falls behind by more than one.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from contracts.errors import BadInput


class Turns:
    """Give the languages their turns, without an end."""

    def __init__(self, languages: Sequence[str], shares: Sequence[float] = ()) -> None:
        """Start with the first turn; without `shares` all languages have the same share.

        Raises:
            BadInput: there is not one share above 0 for each language.
        """
        self._weights = dict(zip(languages, _whole(shares or (1,) * len(languages), len(languages)), strict=True))
        self._sum = sum(self._weights.values())
        self._taken = dict.fromkeys(languages, 0)

    @property
    def weights(self) -> list[int]:
        """Return the shares as whole numbers without a common divisor; the same order has the same ones."""
        return list(self._weights.values())

    def take(self) -> str:
        """Return the language whose turn it is, and count the turn; of equally urgent languages, the first."""
        turn = sum(self._taken.values()) + 1
        may_come = [
            language for language, taken in self._taken.items() if taken * self._sum < self._weights[language] * turn
        ]
        language = min(may_come, key=self._deadline)
        self._taken[language] += 1
        return language

    def _deadline(self, language: str) -> int:
        """Return the turn by which the language's next turn must have come."""
        return -(-(self._taken[language] + 1) * self._sum // self._weights[language])  # rounded up

    def state(self) -> dict[str, int]:
        """Return how many turns each language has had, as plain JSON."""
        return dict(self._taken)

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on where `state` was taken, with the same languages and shares."""
        self._taken = {language: state[language] for language in self._weights}


def _whole(shares: Sequence[float], num: int) -> list[int]:
    """Return the same proportions in whole numbers; each share is taken as it is written: 0.1 is a tenth."""
    if len(shares) != num or not all(math.isfinite(share) and share > 0 for share in shares):
        raise BadInput(
            f"data.shares is {list(shares)} for {num} languages; it needs one finite number above 0 for each",
            key="data.shares",
        )
    exact = [Fraction(str(share)) for share in shares]
    whole = [int(share * math.lcm(*(share.denominator for share in exact))) for share in exact]
    return [number // math.gcd(*whole) for number in whole]
