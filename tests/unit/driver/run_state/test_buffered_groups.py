"""Check that the groups of a checkpoint come back as they were, to the last bit."""

import struct
from dataclasses import fields
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import BadInput
from contracts.rollouts import Group, Problem, PromptDraw, Reference, Rollout, Score, ScoredGroup, Unscored
from driver.run_state.buffered_groups import read_groups, write_groups
from tests.builders import a_reference

HALF = "\ud83d"  # the first half of an emoji, as a tokenizer's byte pieces may be decoded

ANY_TEXT = st.text(st.characters(), max_size=12)  # lone surrogates included
ANY_FLOAT = st.floats(allow_nan=False)
INT64 = st.integers(-(2**63), 2**63 - 1)
UNIT = st.floats(0, 1)


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    num = draw(st.integers(1, 6))
    return Rollout(
        token_ids=tuple(draw(st.lists(INT64, min_size=num, max_size=num))),
        logprobs=tuple(draw(st.lists(ANY_FLOAT, min_size=num, max_size=num))),
        text=draw(ANY_TEXT),
        finish_reason=draw(st.sampled_from(["stop", "length"])),
        token_versions=tuple(sorted(draw(st.lists(st.integers(0, 2**40), min_size=num, max_size=num)))),
    )


PROBLEMS = st.builds(
    Problem,
    item_id=ANY_TEXT,
    language=st.sampled_from(["de", "th"]),
    question=ANY_TEXT,
    question_en=ANY_TEXT,
    answer=st.none() | ANY_TEXT,
    translation=st.none() | ANY_TEXT,
)
SCORES = st.builds(
    Score,
    reward=ANY_FLOAT,
    parts=st.dictionaries(ANY_TEXT, UNIT, max_size=3),
    gates=st.dictionaries(ANY_TEXT, st.booleans(), max_size=3),
    answer=st.none() | ANY_TEXT,
) | st.builds(Unscored, reason=ANY_TEXT, detail=ANY_TEXT)
REFERENCES = st.builds(
    Reference,
    item_id=ANY_TEXT,
    key=ANY_TEXT,
    text=ANY_TEXT,
    num_tokens=INT64,
    verdict=st.sampled_from(["accepted", "truncated", "undecided"]),
    num_votes=INT64,
    num_drawn=INT64,
)


@st.composite
def kept(draw: st.DrawFn) -> tuple[PromptDraw, ScoredGroup]:
    turn = PromptDraw(
        number=draw(st.integers(0, 2**62)), epoch_index=draw(st.integers(0, 2**62)), problem=draw(PROBLEMS)
    )
    answers = tuple(draw(st.lists(rollouts(), max_size=3)))
    prompt = tuple(draw(st.lists(INT64, max_size=5)))
    return turn, ScoredGroup(
        group=Group(group_id=turn.group_id, problem=turn.problem, prompt_token_ids=prompt, rollouts=answers),
        reference=draw(REFERENCES),
        scores=tuple(draw(SCORES) for _ in answers),
    )


def a_group(number: int = 0, *, logprob: float = -0.5, text: str = "Antwort") -> tuple[PromptDraw, ScoredGroup]:
    problem = Problem(item_id="a", language="de", question="Wie viele?", question_en="How many?", answer="17")
    draw = PromptDraw(number=number, epoch_index=number // 2, problem=problem)
    rollout = Rollout(
        token_ids=(5, 6), logprobs=(logprob, -0.0), text=text, finish_reason="stop", token_versions=(3, 4)
    )
    return draw, ScoredGroup(
        group=Group(group_id=draw.group_id, problem=problem, prompt_token_ids=(1, 2), rollouts=(rollout, rollout)),
        reference=a_reference(),
        scores=(
            Score(reward=0.7, parts={"b": 1.0, "a": 0.1}, gates={"language": True}, answer=None),
            Unscored(reason="scorer timed out"),
        ),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "groups.parquet"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(kept(), max_size=3))
def test_whatever_waits_comes_back_as_it_was(path: Path, groups: list[tuple[PromptDraw, ScoredGroup]]) -> None:
    write_groups(path, groups)
    back = read_groups(path)
    assert back == groups
    assert repr(back) == repr(groups)  # -0.0 is not 0.0, True is not 1, and mappings keep their order


def test_a_file_of_no_groups_is_one(path: Path) -> None:
    write_groups(path, [])
    assert read_groups(path) == []


@pytest.mark.parametrize("text", [HALF, f"{HALF}{HALF}x", "\udcff", "a\0b", "", "😀 ๑๗"], ids=ascii)
def test_half_a_character_is_kept(path: Path, text: str) -> None:
    write_groups(path, [a_group(text=text)])
    ((_, scored),) = read_groups(path)
    assert scored.group.rollouts[0].text == text


@pytest.mark.parametrize("value", [0.1, -1e-320, float("-inf"), float("nan")])
def test_a_number_keeps_its_bits(path: Path, value: float) -> None:
    write_groups(path, [a_group(logprob=value)])
    ((_, scored),) = read_groups(path)
    first, second = scored.group.rollouts[0].logprobs
    assert struct.pack("<2d", first, second) == struct.pack("<2d", value, -0.0)


def test_many_groups_keep_their_order(path: Path) -> None:
    groups = [a_group(number) for number in range(150, 0, -1)]
    write_groups(path, groups)
    assert read_groups(path) == groups
    assert pq.ParquetFile(path).num_row_groups == 3  # of 64, 64 and 22: memory does not grow with their number


def test_a_draw_is_kept_with_its_own_group_only(path: Path) -> None:
    (first, _), (_, second) = a_group(1), a_group(2)
    with pytest.raises(AssertionError):
        write_groups(path, [(first, second)])


def test_groups_that_hold_something_else_are_refused(path: Path) -> None:
    write_groups(path, [a_group()])
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["place"]), path)
    with pytest.raises(BadInput) as refused:
        read_groups(path)
    assert refused.value.key == path.name


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError):
        write_groups(Path("/dev/full"), [a_group()])


def test_every_field_of_the_schema_has_a_column(path: Path) -> None:
    write_groups(path, [a_group()])
    scored = pq.read_schema(path).field("scored").type
    group, reference = scored.field("group").type, scored.field("reference").type
    rollout = group.field("rollouts").type.value_type
    for held, kind in ((scored, ScoredGroup), (group, Group), (reference, Reference), (rollout, Rollout)):
        assert [held.field(index).name for index in range(held.num_fields)] == [field.name for field in fields(kind)]
