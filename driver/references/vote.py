"""Choose one of several pivot responses to an item by a majority vote over their final answers.

A pure function of texts; no gold answer is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.rollouts import ReferenceVerdict, Rollout
from rewards.answers.final import final_answer, same_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """Hold the outcome of a vote."""

    verdict: ReferenceVerdict
    chosen: int  # index of the response that is taken
    num_votes: int  # responses that gave its answer; 0 if no response could vote


def vote(responses: Sequence[Rollout]) -> Vote:
    """Find the answer that most responses give, and take the first response that gives it.

    A response that was cut off does not vote, nor does one without a declared answer. If all are cut off, the verdict
    is "truncated". If there is no answer, or two answers have the most votes, it is "undecided", because nothing says
    which one is the pivot's. A single response needs no vote: unless it was cut off it is accepted, even without an
    answer, which only the reward looks at.

    Raises:
        ValueError: there are no responses.
    """
    if not responses:
        raise ValueError("a vote needs at least one response, got 0")
    whole = [index for index, response in enumerate(responses) if not response.is_truncated]
    if not whole:
        return Vote(verdict="truncated", chosen=0, num_votes=0)
    if len(responses) == 1:
        return Vote(verdict="accepted", chosen=0, num_votes=1)
    blocs = _by_answer({index: final_answer(responses[index].text, "en") for index in whole})
    if not blocs:
        return Vote(verdict="undecided", chosen=whole[0], num_votes=0)
    largest = max(blocs, key=len)  # of equal ones the first
    is_tied = sum(len(bloc) == len(largest) for bloc in blocs) > 1
    return Vote(verdict="undecided" if is_tied else "accepted", chosen=largest[0], num_votes=len(largest))


def _by_answer(answers: dict[int, str | None]) -> list[list[int]]:
    """Return the indices of the responses with the same answer, in order ("18" and "18.0" are the same answer)."""
    blocs: list[tuple[str, list[int]]] = []
    for index, answer in answers.items():
        if answer is None:
            continue
        for first, bloc in blocs:
            if same_answer(answer, first):
                bloc.append(index)
                break
        else:
            blocs.append((answer, [index]))
    return [bloc for _, bloc in blocs]
