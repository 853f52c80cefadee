"""Test what is made of vLLM's outputs, on hand-written ones of the same shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from actors.generation.outputs import read_answer_likelihood, read_answer_probability, read_rollout
from contracts.rollouts import Rollout


@dataclass
class Flat:
    """Hold two log-probabilities for each token: the likeliest token's, which is 99, and the drawn one's."""

    drawn: tuple[int, ...]
    start_indices: list[int] = field(init=False)
    end_indices: list[int] = field(init=False)
    token_ids: list[int] = field(init=False)
    logprobs: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.start_indices = [2 * place for place in range(len(self.drawn))]
        self.end_indices = [start + 2 for start in self.start_indices]
        self.token_ids = [token for drawn in self.drawn for token in (99, drawn)]
        self.logprobs = [value for place in range(len(self.drawn)) for value in (-0.1, -1.0 - place)]


@dataclass
class Span:
    version: str
    start: int
    end: int


@dataclass
class Response:
    token_ids: tuple[int, ...] = (7, 8, 9)
    logprobs: object = field(default_factory=lambda: Flat((7, 8, 9)))
    weight_versions: list[Span] | None = field(default_factory=lambda: [Span("3", 0, 1), Span("5", 1, 3)])
    finish_reason: str | None = "stop"


@dataclass
class Finished:
    outputs: list[Response] = field(default_factory=list)
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: object = None


def decode(token_ids: Sequence[int]) -> str:
    return " ".join(map(str, token_ids))


def test_the_token_that_ends_a_response_is_no_part_of_its_text_and_of_a_truncated_one_every_token_is() -> None:
    assert read_rollout(Finished([Response()]), decode).text == "7 8"
    assert read_rollout(Finished([Response(finish_reason="length")]), decode).text == "7 8 9"


def test_each_token_has_its_own_log_probability_and_the_version_of_its_span() -> None:
    expected = Rollout(
        token_ids=(7, 8, 9), logprobs=(-1.0, -2.0, -3.0), text="7 8", finish_reason="stop", token_versions=(3, 5, 5)
    )
    assert read_rollout(Finished([Response()]), decode) == expected


def test_the_oldest_version_is_the_first_tokens_and_the_newest_the_last_ones() -> None:
    rollout = read_rollout(Finished([Response()]), decode)
    assert (rollout.policy_version, rollout.last_policy_version) == (3, 5)


@pytest.mark.parametrize(
    "response",
    [
        Response(finish_reason="abort"),
        Response(logprobs=None),
        Response(logprobs=[{7: -1.0}]),
        Response(logprobs=Flat((7, 8))),
        Response(logprobs=Flat((7, 6, 9))),  # not the drawn token's
        Response(weight_versions=None),
        Response(weight_versions=[Span("3", 0, 2)]),
        Response(weight_versions=[Span("3", 0, 1), Span("4", 2, 3)]),  # a gap
        Response(weight_versions=[Span("default", 0, 3)]),
        Response(weight_versions=[Span("4", 0, 2), Span("3", 2, 3)]),  # the version falls
        Response(token_ids=(), logprobs=Flat(()), weight_versions=None),
    ],
)
def test_output_without_all_values_of_every_token_is_refused(response: Response) -> None:
    with pytest.raises(ValueError):
        read_rollout(Finished([response]), decode)


def test_log_probability_that_is_no_number_is_refused() -> None:
    flat = Flat((7, 8, 9))
    flat.logprobs[3] = math.nan
    with pytest.raises(ValueError):
        read_rollout(Finished([Response(logprobs=flat)]), decode)


def test_answer_is_as_probable_as_the_mean_over_its_tokens_alone() -> None:
    # The prompt's tokens have -1, -2, -3 and -4; the answer is the last two.
    finished = Finished(prompt_token_ids=[1, 2, 3, 4], prompt_logprobs=Flat((1, 2, 3, 4)))
    expected = (math.exp(-3) + math.exp(-4)) / 2
    assert read_answer_probability(finished, num_tokens=2) == pytest.approx(expected)


def test_the_likelihood_of_an_answer_is_the_sum_over_its_tokens_alone() -> None:
    finished = Finished(prompt_token_ids=[1, 2, 3, 4], prompt_logprobs=Flat((1, 2, 3, 4)))
    assert read_answer_likelihood(finished, num_tokens=2) == pytest.approx(-7)
