"""What several responses of the pivot to one item say together: a majority vote over their final answers.

Owns the vote. A pure function of texts: knows no engine, no cache and no gold answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.rollouts import ReferenceVerdict, Rollout
from rewards.answers.final import final_answer, same_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """The outcome: which response stands for all, and how many gave its answer."""

    verdict: ReferenceVerdict
    chosen: int  # index of the response
    num_votes: int  # 0 where none could vote


def vote(responses: Sequence[Rollout]) -> Vote:
    """The answer that most responses give; the first response that gives it stands for them.

    A response that was cut off doesn't vote, nor does one that declares no answer. All cut off: truncated. No answer
    at all, or two answers with equally many votes: undecided, since nothing says which of them is the pivot's. One
    response alone is no vote: unless it was cut off it is accepted, also without an answer, which is the reward's
    matter.

    Raises:
        ValueError: there are no responses.
    """
    if not responses:
        raise ValueError("a vote needs at least one response, got none")
    whole = [index for index, response in enumerate(responses) if not response.is_truncated]
    if not whole:
        return Vote(verdict="truncated", chosen=0, num_votes=0)
    if len(responses) == 1:
        return Vote(verdict="accepted", chosen=0, num_votes=1)
    parties = _parties({index: final_answer(responses[index].text, "en") for index in whole})
    if not parties:
        return Vote(verdict="undecided", chosen=whole[0], num_votes=0)
    strongest = max(parties, key=len)  # of equal ones the first
    is_tied = sum(len(party) == len(strongest) for party in parties) > 1
    return Vote(verdict="undecided" if is_tied else "accepted", chosen=strongest[0], num_votes=len(strongest))


def _parties(answers: dict[int, str | None]) -> list[list[int]]:
    """Indices by answer, in order; each answer is compared with the first of a party ("18" and "18.0" are one)."""
    parties: list[tuple[str, list[int]]] = []
    for index, answer in answers.items():
        if answer is None:
            continue
        for first, party in parties:
            if same_answer(answer, first):
                party.append(index)
                break
        else:
            parties.append((answer, [index]))
    return [party for _, party in parties]
