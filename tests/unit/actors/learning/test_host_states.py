"""Test moving states out of a device's memory and back: every view is whole again, and nothing stays behind."""

import pytest
import torch
from torch import nn

from actors.learning.host_states import HostStates

CPU = torch.device("cpu")


def test_every_view_of_a_storage_is_empty_meanwhile_and_whole_afterwards() -> None:
    flat = torch.arange(12, dtype=torch.float32)
    views = [flat[:4], flat[4:].view(2, 4)]
    before = [view.clone() for view in views]
    states = HostStates(CPU)
    states.move_out([*views, flat])
    assert flat.untyped_storage().nbytes() == 0
    assert states.num_bytes == 12 * 4  # the storage is moved once
    states.move_back()
    assert all(torch.equal(view, kept) for view, kept in zip(views, before, strict=True))
    views[0][0] = 7
    assert flat[0] == 7


def test_host_memory_is_kept_for_the_next_time_and_new_values_are_moved() -> None:
    tensor, states = torch.ones(5), HostStates(CPU)
    states.move_out([tensor])
    states.move_back()
    tensor += 1
    kept = {id(copy) for _, copy in states._copies.values()}
    states.move_out([tensor])
    assert {id(copy) for _, copy in states._copies.values()} == kept
    states.move_back()
    assert torch.equal(tensor, torch.full((5,), 2.0))


def test_a_second_move_in_the_same_direction_changes_nothing() -> None:
    tensor, states = torch.ones(5), HostStates(CPU)
    states.move_back()
    states.move_out([tensor])
    states.move_out([torch.ones(3)])
    states.move_back()
    states.move_back()
    assert torch.equal(tensor, torch.ones(5))


def test_empty_tensors_and_other_devices_are_left_alone() -> None:
    states = HostStates(CPU)
    states.move_out([torch.empty(0), torch.empty(3, device="meta")])
    assert states.num_bytes == 0


@pytest.mark.slow
def test_training_goes_on_as_if_nothing_had_been_moved() -> None:
    def train(*, moves: bool) -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = nn.Linear(4, 4)
        optimizer, states = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True), HostStates(CPU)
        for _ in range(4):
            model(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            if moves:
                moved = [value for state in optimizer.state.values() for value in state.values()]
                states.move_out([*model.parameters(), *moved])
                assert all(parameter.untyped_storage().nbytes() == 0 for parameter in model.parameters())
                states.move_back()
        return [parameter.detach().clone() for parameter in model.parameters()]

    assert all(torch.equal(one, other) for one, other in zip(train(moves=True), train(moves=False), strict=True))
