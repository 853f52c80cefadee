"""How references were come by, counted: what a step's `pivot/*` metrics are made of.

Owns the counts and what each counts. Gold answers are compared here, for a person to see, and go nowhere else.
"""

from dataclasses import dataclass

from contracts.rollouts import Problem, Reference
from driver.problems.gold import gold_number
from rewards.answers.final import final_answer, same_answer


@dataclass
class ReferenceCounts:
    """Since they were last taken. What is counted of references counts once for each problem that asked."""

    asked: int = 0  # by problems
    cached: int = 0  # of them, found in the cache
    shared: int = 0  # of them, that joined a request which was under way
    requests: int = 0  # that went to the pivot
    answered: int = 0  # of the requests, that came back
    seconds: float = 0.0  # that those took, added up
    tokens: int = 0  # that the pivot drew for them
    truncated: int = 0  # references that were rejected: all responses were cut off
    undecided: int = 0  # references that were rejected: no answer has the votes it needs
    num_voted: int = 0  # references that were voted on: of several responses
    agreement: float = 0.0  # of those, shares of the responses that gave the winning answer, added up
    with_gold: int = 0  # accepted references of problems whose answer is known
    correct: int = 0  # of them, that give it

    def see(self, problem: Problem, reference: Reference) -> None:
        """A problem got its reference."""
        if reference.num_drawn > 1:
            self.num_voted += 1
            self.agreement += reference.num_votes / reference.num_drawn
        self.truncated += reference.verdict == "truncated"
        self.undecided += reference.verdict == "undecided"
        if reference.verdict == "accepted" and (gold := gold_number(problem)) is not None:
            answer = final_answer(reference.text, "en")
            self.with_gold += 1
            self.correct += answer is not None and same_answer(answer, gold)
