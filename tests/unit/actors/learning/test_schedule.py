"""Test learning rates by optimiser step, worked by hand."""

from math import cos, pi

import pytest
import torch

from actors.learning.schedule import Kind, Schedule, catch_up, learning_rates, lr_factor


def factors(kind: Kind, *, warmup_steps: int, total_steps: int, floor: float = 0.0, num_steps: int = 0) -> list[float]:
    schedule = Schedule(kind=kind, warmup_steps=warmup_steps, total_steps=total_steps, floor=floor)
    return [lr_factor(step, schedule) for step in range(num_steps or total_steps)]


def test_a_warm_up_is_linear_and_its_last_step_has_the_full_rate() -> None:
    assert factors("constant", warmup_steps=4, total_steps=6) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert factors("constant", warmup_steps=0, total_steps=3) == [1, 1, 1]
    assert factors("constant", warmup_steps=1, total_steps=3) == [1, 1, 1]


def test_linear_goes_down_in_equal_steps_towards_the_floor_after_the_last_step() -> None:
    # From 1 at step 0 to 0.2 at step 4, the first that the run doesn't take: 0.2 less each time.
    assert factors("linear", warmup_steps=0, total_steps=4, floor=0.2) == pytest.approx([1, 0.8, 0.6, 0.4])
    # Two steps of warm-up, the second with the full rate, then down by a quarter each.
    assert factors("linear", warmup_steps=2, total_steps=5) == pytest.approx([0.5, 1, 0.75, 0.5, 0.25])


def test_cosine_is_half_a_wave() -> None:
    # (1 + cos x) / 2 at 0, a quarter, a half, three quarters and all of the way to pi.
    quarter = (1 + cos(pi / 4)) / 2
    assert factors("cosine", warmup_steps=0, total_steps=4) == pytest.approx([1, quarter, 0.5, 1 - quarter])
    halves = factors("cosine", warmup_steps=1, total_steps=2, floor=0.5)
    assert halves == pytest.approx([1, 0.75])


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_floor_is_kept_after_the_last_step(kind: Kind) -> None:
    assert factors(kind, warmup_steps=1, total_steps=3, floor=0.1, num_steps=6)[3:] == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_a_run_that_is_all_warm_up_reaches_the_full_rate(kind: Kind) -> None:
    assert factors(kind, warmup_steps=3, total_steps=3) == pytest.approx([1 / 3, 2 / 3, 1])
    assert factors(kind, warmup_steps=0, total_steps=1) == [1]


def test_torch_takes_the_rates_in_their_order() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    rates = learning_rates(optimizer, Schedule(kind="linear", warmup_steps=2, total_steps=3, floor=0.0))
    seen = []
    for _ in range(4):
        seen += rates.get_last_lr()
        optimizer.step()
        rates.step()
    assert seen == pytest.approx([0.2, 0.4, 0.2, 0.0])


def test_a_longer_run_goes_on_at_its_own_rates() -> None:
    """A run continued with more steps loads the step that it had reached, not the length that it had."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    short = learning_rates(optimizer, Schedule(kind="linear", warmup_steps=0, total_steps=3, floor=0.0))
    optimizer.step()
    short.step()
    longer = learning_rates(optimizer, Schedule(kind="linear", warmup_steps=0, total_steps=5, floor=0.0))
    longer.load_state_dict(short.state_dict())
    catch_up(longer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.8)  # step 1 of 0 ... 4
    assert longer.get_last_lr() == pytest.approx([0.8])
    optimizer.step()
    longer.step()
    assert longer.get_last_lr() == pytest.approx([0.6])  # step 2 of 0 ... 4
