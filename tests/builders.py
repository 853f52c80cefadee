"""Build the values that tests pass around, one builder per type, each with defaults that are valid."""

from contracts.rollouts import ScoreRequest
from rewards.reading import Reading, read_group

QUESTION = "Roger hat 5 Tennisbälle und kauft noch 6 Tennisbälle dazu. Wie viele Tennisbälle hat er jetzt?"
REFERENCE = "Together that makes 5 + 6 = 11 balls. The answer is 11."


def a_reading(
    response: str,
    *,
    language: str = "de",
    question: str = QUESTION,
    reference: str = REFERENCE,
    is_truncated: bool = False,
) -> Reading:
    """Return a response to a question of one step, read as every response is read."""
    request = ScoreRequest(
        language=language,
        question=question,
        question_en="",
        reference=reference,
        responses=(response,),
        truncated=(is_truncated,),
    )
    (reading,) = read_group(request)
    return reading
