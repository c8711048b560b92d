"""One pass where one is enough; the same one where it is made again."""

import torch

from vq.passes import Passes

WEIGHT = torch.ones(8, requires_grad=True)


def noisy(index: int) -> torch.Tensor:
    return torch.nn.functional.dropout(WEIGHT + index, 0.5)


def test_a_single_micro_batch_is_passed_once():
    passes = Passes(noisy, 1, torch.device("cpu"))
    assert passes.for_values(0) is passes.for_gradients(0)
    assert passes.for_values(0).requires_grad


def test_passes_of_several_micro_batches_repeat_their_random_numbers():
    torch.manual_seed(0)
    passes = Passes(noisy, 2, torch.device("cpu"))
    values = [passes.for_values(index) for index in range(2)]
    assert not any(value.requires_grad for value in values)
    assert not torch.equal(values[0] - values[0].min(), values[1] - values[1].min())
    for index in range(2):
        again = passes.for_gradients(index)
        assert again.requires_grad
        assert torch.equal(again, values[index])


def test_a_pass_made_again_leaves_the_course_of_random_numbers_alone():
    torch.manual_seed(0)
    passes = Passes(noisy, 2, torch.device("cpu"))
    passes.for_values(0)
    state = torch.get_rng_state()
    passes.for_gradients(0)
    assert torch.equal(torch.get_rng_state(), state)
