"""Operations counted on paper are those that a counter sees."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipelines.configuration.assembly.starting_weights import MATRICES
from pipelines.training.low_rank import LoraSettings, add_adapters
from pipelines.training.recomputation import recompute
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig
from unified_transformer.attention.dense import dense_mask
from unified_transformer.attention.patterns import PATTERNS
from unified_transformer.blocks import Block
from unified_transformer.flops import (
    forward_flops,
    positions,
    recomputed_flops,
    training_flops,
    visible_pairs,
)
from unified_transformer.losses import LOSSES
from unified_transformer.sequence import DIRECTIONS, TASKS, build_sequence, direction_of

BATCH, TEXT = 2, 12


def small(**changes) -> UnifiedTransformerConfig:
    """Few enough keys for attention in two plain products, which the counter sees."""
    settings = {
        "hidden_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "mlp_ratio": 3.0,
        "text_positions": TEXT,
        "text_vocab_size": 70,
        "image_vocab_size": 90,
        "grid_height": 7,
        "grid_width": 5,
        "attention_implementation": "dense",
    }
    return UnifiedTransformerConfig(**{**settings, **changes})


def batch_of(config: UnifiedTransformerConfig, text: int) -> dict[str, torch.Tensor]:
    return {
        "text_ids": torch.full((BATCH, text), 7),
        "text_length": torch.full((BATCH,), text),
        "caption_dropped": torch.zeros(BATCH, dtype=torch.bool),
        "qa_ids": torch.full((BATCH, text), 7),
        "qa_length": torch.full((BATCH,), text),
        "question_length": torch.full((BATCH,), text - 3),
        "image_ids": torch.zeros(BATCH, *config.grid, dtype=torch.long),
    }


def counted(model: UnifiedTransformer, task: str, text: int) -> int:
    """Of a step, by PyTorch's counter."""
    batch = batch_of(model.config, text)
    with FlopCounterMode(display=False) as counter:
        LOSSES[task](model, batch, model.config).total.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("text", [TEXT, 8])
def test_a_step_has_the_operations_that_are_counted(task, text):
    config = small()
    planned = forward_flops(config, task, text, every_pair=True).training
    assert BATCH * planned == counted(UnifiedTransformer(config), task, text)


@pytest.mark.parametrize("task", TASKS)
def test_beside_frozen_matrices_there_are_fewer(task):
    config, rank = small(), 2
    model = UnifiedTransformer(config)
    layers = [part for part in model.blocks.modules() if isinstance(part, torch.nn.Linear)]
    tokens = BATCH * positions(config)
    of_adapters = 3 * sum(2 * tokens * rank * sum(layer.weight.shape) for layer in layers)
    # Nothing before the first layer is learned either.
    not_needed = 2 * tokens * (layers[0].weight.numel() + rank * layers[0].in_features)
    add_adapters(model, MATRICES, LoraSettings(rank))
    planned = forward_flops(config, task, every_pair=True).training_beside_frozen
    assert BATCH * planned + of_adapters - not_needed == counted(model, task, TEXT)


@pytest.mark.parametrize("task", TASKS)
def test_recomputation(task):
    config, model = small(), UnifiedTransformer(small())
    plain = counted(model, task, TEXT)
    recompute(model, (Block,))
    again = counted(model, task, TEXT) - plain
    # `dense` computes every pair, and hides some.
    sparse = forward_flops(config, task).attention
    dense = forward_flops(config, task, every_pair=True).attention
    assert BATCH * (recomputed_flops(config, task) - sparse + dense) == again


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("grid", [(6, 6), (13, 4)])
def test_visible_pairs_are_those_of_the_mask(pattern, task, grid):
    lengths = torch.tensor([9])
    asked = lengths if task == "question_answering" else None
    sequence = build_sequence(lengths, 9, grid, direction_of(task), asked)
    seen = int(dense_mask(sequence, pattern).sum())
    assert visible_pairs(pattern, 9, *grid, task) == seen


def test_both_directions_add_up():
    config = small()
    single = [training_flops(config, tasks=(name,)) for name in DIRECTIONS]
    assert sum(single) == training_flops(config)
    assert single[0] != single[1]
