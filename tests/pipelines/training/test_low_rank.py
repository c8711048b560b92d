import copy

import pytest
import torch

from pipelines.configuration.assembly.bidirectional import transformer_matrices
from pipelines.configuration.assembly.starting_weights import MATRICES, plain_transformer
from pipelines.training.low_rank import LoraSettings, add_adapters, merged_weights
from unified_transformer import UnifiedTransformer


@pytest.fixture
def learned(checkpoint):
    return UnifiedTransformer.from_pretrained(checkpoint / "transformer").eval()


@pytest.fixture
def adapted(learned):
    """The same with adapters that have learned something."""
    transformer = copy.deepcopy(learned)
    add_adapters(transformer, MATRICES, LoraSettings(rank=2, alpha=3))
    torch.manual_seed(0)
    for name, parameter in transformer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return transformer


def logits(transformer, direction):
    torch.manual_seed(0)
    text, image = torch.randint(5, 40, (2, 8)), torch.randint(0, 32, (2, 4, 4))
    with torch.no_grad():
        output = transformer(text, torch.tensor([8, 5]), image, direction)
    return output.image_logits if direction == "text_to_image" else output.text_logits[:, :4]


def test_adapters_start_as_no_difference_and_are_all_that_learns(learned):
    transformer = copy.deepcopy(learned)
    add_adapters(transformer, MATRICES, LoraSettings())
    assert torch.equal(logits(transformer, "text_to_image"), logits(learned, "text_to_image"))
    trained = {name for name, p in transformer.named_parameters() if p.requires_grad}
    matrices = [n for n, p in learned.named_parameters() if transformer_matrices(n, p)]
    assert trained == {
        f"{name.removesuffix('.weight')}.lora_{part}.default.weight"
        for name in matrices
        for part in "AB"
    }


@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_merged_weights_compute_what_weights_and_adapters_do(learned, adapted, direction):
    live = {name: value.clone() for name, value in adapted.state_dict().items()}
    before = logits(adapted, direction)
    plain = plain_transformer(adapted).eval()
    assert (logits(plain, direction) - before).abs().max() < 1e-6 * before.abs().max()
    assert (logits(learned, direction) - before).abs().max() > 0.1
    assert list(plain.state_dict()) == list(learned.state_dict())
    assert all(torch.equal(value, live[name]) for name, value in adapted.state_dict().items())
    assert torch.equal(logits(adapted, direction), before)


def test_what_has_no_adapter_is_merged_as_it_is(learned, adapted):
    own, changed = learned.state_dict(), set()
    for name, value in merged_weights(adapted):
        assert value.device.type == "cpu" and not value.requires_grad
        if not torch.equal(value, own[name]):
            changed.add(name)
    assert changed == {n for n, p in learned.named_parameters() if transformer_matrices(n, p)}


def test_factors_decay_and_the_joint_projection_has_three_of_the_second(adapted):
    counts = {
        name: transformer_matrices(name, p)
        for name, p in adapted.named_parameters()
        if p.requires_grad
    }
    for name, count in counts.items():
        assert count == (3 if "query_key_value.lora_B" in name else 1), name


@pytest.mark.parametrize(
    ("change", "words"),
    [({"rank": 0}, "rank is 0"), ({"alpha": 0}, "alpha is 0"), ({"dropout": 1}, "dropout is 1")],
)
def test_impossible_adapters_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        LoraSettings(**change)
