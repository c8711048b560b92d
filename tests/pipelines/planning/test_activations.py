"""What fake tensors say of memory is what real ones take."""

from functools import partial

import pytest
import torch

from pipelines.planning.activations import MicroBatch, block_memory, head_memory, step_memory
from pipelines.planning.simulation import MemoryMeter
from pipelines.training.distributed import precision_context
from pipelines.training.loop import under
from pipelines.training.recomputation import recompute
from unified_transformer import (
    BidirectionalObjective,
    BidirectionalObjectiveSettings,
    UnifiedTransformer,
    UnifiedTransformerConfig,
)
from unified_transformer.attention import IMPLEMENTATIONS
from unified_transformer.blocks import Block
from unified_transformer.flops import positions
from unified_transformer.sequence import build_sequence

SAMPLES, TEXT = 3, 16


def small(**changes) -> UnifiedTransformerConfig:
    settings = {
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "text_positions": TEXT,
        "text_vocab_size": 100,
        "image_vocab_size": 120,
        "grid_height": 12,
        "grid_width": 12,
        "attention_implementation": "blockwise",
    }
    return UnifiedTransformerConfig(**{**settings, **changes})


def test_the_meter_counts_storages_once_and_forgets_them():
    before = torch.zeros(10)
    with MemoryMeter() as meter:
        first = torch.zeros(100)
        view, second = first[10:], first + 1
        assert (meter.live, meter.peak) == (800, 800)
        del second
        assert (meter.live, meter.peak) == (400, 800)
        meter.restart()
        assert meter.peak == 400
        del first
        assert meter.live == 400  # the view holds it
        del view
        assert meter.live == 0
        before.view(5, 2)
        assert meter.live == 0  # a view of what was there before


def stack_kept(config: UnifiedTransformerConfig, precision: str) -> float:
    """Bytes that a second block of real tensors keeps, measured by what autograd saves."""
    block = Block(config, 0)
    length = positions(config)
    sequence = build_sequence(torch.full((SAMPLES,), TEXT), TEXT, config.grid, "text_to_image")
    attend = IMPLEMENTATIONS[config.attention_implementation]
    attention = partial(attend, sequence=sequence, pattern=block.pattern, dropout=0.0)
    x = torch.randn(SAMPLES, length, config.hidden_size, requires_grad=True)
    turns = torch.zeros(2, length, config.hidden_size // config.num_attention_heads // 4)
    own = {p.untyped_storage().data_ptr() for p in block.parameters()}
    with precision_context(torch.device("cpu"), precision)():
        first = block(x, turns, attention)
        saved: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            keep.append(tensor)
            return tensor

        keep: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            second = block(first, turns, attention)
    # Not what was there before: the input, places, and weights with their casts.
    shared = {x.untyped_storage().data_ptr(), first.untyped_storage().data_ptr()} | own
    shared |= {turns.untyped_storage().data_ptr()}
    big = SAMPLES * length * config.hidden_size  # what belongs to positions is larger than masks
    kept = sum(n for place, n in saved.items() if place not in shared and n >= big)
    casts = sum(2 * p.numel() for p in block.parameters() if p.ndim == 2)
    return kept + second.untyped_storage().nbytes() - (casts if precision == "bf16" else 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("implementation", ["blockwise", "dense"])
def test_a_block_keeps_what_was_planned(implementation, precision):
    # `dense` by the fused kernel: more than 256 keys.
    side = 12 if implementation == "blockwise" else 16
    config = small(attention_implementation=implementation, grid_height=side, grid_width=side)
    planned = block_memory(config, MicroBatch(SAMPLES, TEXT, precision, "cpu"))
    # Statistics of norms and sums of softmax, numbers of a position, are aside on one side.
    assert planned.kept == pytest.approx(stack_kept(config, precision), rel=0.05)
    stream = SAMPLES * positions(config) * config.hidden_size
    assert planned.output == 4 * stream
    assert planned.casts == (2 * 12 * config.hidden_size**2 if precision == "bf16" else 0)


def test_on_paper():
    """Of a block on a GPU, in numbers of a position and dimension (docs/scale.md)."""
    config = small(attention_implementation="flex")
    stream = SAMPLES * positions(config) * config.hidden_size
    half, whole, third = (
        block_memory(config, MicroBatch(SAMPLES, TEXT, precision, "cuda", stage_3=zero))
        for precision, zero in (("bf16", False), ("fp32", False), ("bf16", True))
    )
    assert half.kept / stream == pytest.approx(42, abs=0.5)
    assert whole.kept / stream == pytest.approx(76, abs=0.5)
    assert (third.kept - half.kept) / stream == 4
    assert third.casts == 0 < half.casts


@pytest.mark.parametrize("layers", [4, 12])  # many layers: gradients of one direction wait
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_has_the_peak_that_was_planned(precision, checkpointing, layers, together):
    """Real tensors, counted as operators make and free them."""
    torch.manual_seed(0)
    config = small(num_hidden_layers=layers)
    model = UnifiedTransformer(config).train()
    if checkpointing:
        recompute(model, (Block,))
    objective = BidirectionalObjective(
        model, config, BidirectionalObjectiveSettings(), together=together
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    batch = {
        "text_ids": torch.randint(5, 100, (SAMPLES, TEXT)),
        "text_length": torch.full((SAMPLES,), TEXT),
        "caption_dropped": torch.zeros(SAMPLES, dtype=torch.bool),
        "image_ids": torch.randint(0, 120, (SAMPLES, *config.grid)),
    }
    autocast = precision_context(torch.device("cpu"), precision)
    with MemoryMeter() as meter:
        ((_, losses),) = objective.turns([batch], 0)
        for terms in under(autocast, losses):
            terms["loss"].backward()
            del terms
    micro_batch = MicroBatch(SAMPLES, TEXT, precision, "cpu", together=together)
    planned = step_memory(config, micro_batch, checkpointing)
    assert planned.total == pytest.approx(meter.peak, rel=0.08)


def test_logits_are_there_some_at_a_time():
    config = small(image_vocab_size=8192, hidden_size=128)
    few, many = (
        head_memory(config, MicroBatch(samples, TEXT, "bf16", "cpu"), "text_to_image")
        for samples in (64, 128)
    )
    rows = 64 * config.image_positions
    assert few.passing < rows * 8192  # less than a byte for each
    assert many.passing - few.passing == many.kept - few.kept == 4 * rows * 128
