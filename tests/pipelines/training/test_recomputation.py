"""Activation checkpointing changes what is kept, and nothing else."""

import pytest
import torch
from torch import nn

from pipelines.training.recomputation import recompute
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig
from unified_transformer.blocks import Block
from vq import VQGAN, VQGANConfig
from vq.blocks import ResidualBlock, SelfAttention


def transformer(implementation):
    config = UnifiedTransformerConfig(
        text_vocab_size=20,
        image_vocab_size=16,
        grid_height=6,
        grid_width=6,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        text_positions=8,
        dropout=0.3,
        attention_implementation=implementation,
    )
    torch.manual_seed(0)
    model = UnifiedTransformer(config)
    text, ids = torch.randint(5, 20, (2, 8)), torch.randint(0, 16, (2, 6, 6))
    length, weight = torch.tensor([8, 5]), torch.ones(2, 36)
    return model, lambda: model(text, length, ids, "text_to_image", weight).loss


def tokenizer():
    torch.manual_seed(0)
    model = VQGAN(VQGANConfig(base_channels=8, middle_attention=True))
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    return model, lambda: model(pixels).reconstruction.square().mean()


CASES = {
    "dense": (lambda: transformer("dense"), (Block,)),
    "blockwise": (lambda: transformer("blockwise"), (Block,)),
    "tokenizer": (tokenizer, (ResidualBlock, SelfAttention)),
}


def kept_and_gradients(model: nn.Module, loss):
    """Bytes kept for the backward pass, and the gradients by name."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss()
    value.backward()
    bytes_kept = sum(size for place, size in kept.items() if place not in parameters)
    named = model.named_parameters()
    return bytes_kept, {name: p.grad.clone() for name, p in named if p.grad is not None}


@pytest.mark.parametrize("case", CASES)
def test_same_gradients_from_less_memory(case):
    build, large = CASES[case]
    model, loss = build()
    names = list(model.state_dict())
    kept, gradients = kept_and_gradients(model.train(), loss)
    model.zero_grad()
    recompute(model, large)
    kept_now, gradients_now = kept_and_gradients(model, loss)
    assert list(model.state_dict()) == names
    assert kept_now < kept / 2
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_now[name], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("asked", [False, True])
def test_only_where_it_is_asked_for(toy, tmp_path, monkeypatch, asked):
    seen = []
    monkeypatch.setattr("pipelines.training.trainer.recompute", lambda *given: seen.append(given))
    trainer = toy.trainer(tmp_path / "run", toy.settings(activation_checkpointing=asked))
    players = trainer.parts.players.values()
    wanted = [(player.module, trainer.task.recomputed) for player in players]
    assert seen == (wanted if asked else [])
