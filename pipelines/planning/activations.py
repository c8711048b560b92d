"""What a micro-batch keeps between its forward and its backward pass, and what else it needs.

Each task goes backward before the next one goes forward (`BidirectionalObjective`); under
DeepSpeed and end to end both go forward before one backward pass, so that what they keep is there
together.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.planning.simulation import MemoryMeter, without_memory
from pipelines.training.distributed import precision_context
from pipelines.training.recomputation import recompute
from unified_transformer import Reconstructor, ReconstructorConfig, UnifiedTransformerConfig
from unified_transformer.attention import AUTO, IMPLEMENTATIONS, choose_implementation
from unified_transformer.blocks import Attention, Block
from unified_transformer.flops import positions
from unified_transformer.head import LOGITS_AT_ONCE
from unified_transformer.sequence import DIRECTIONS, Task, build_sequence, direction_of
from vq import Decoder, VQGANConfig

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at a time.

    `device_type` is where (`cuda`, `cpu`): it decides how attention is computed, and how many
    logits are there at once. `hidden_passes` are those that stop at the hidden states.
    `stage_3`: under ZeRO 3, which puts a linear layer of its own in place of PyTorch's. It keeps
    inputs as they come, those after a norm in fp32, and casts weights anew each time. `together`:
    all tasks go forward before one backward pass, as they do under DeepSpeed (and end to end).
    """

    samples: int
    text_length: int
    precision: str
    device_type: str = "cuda"
    tasks: tuple[Task, ...] = DIRECTIONS
    hidden_passes: int = 0
    stage_3: bool = False
    together: bool = False

    def autocast(self) -> AbstractContextManager:
        """As in training, for fake tensors, which live on the CPU."""
        return precision_context(torch.device("cpu"), self.precision)()


@dataclass(frozen=True)
class BlockMemory:
    """Bytes of one block in one task.

    `kept` for the backward pass, its output included and its input not; `output` alone is what
    activation checkpointing keeps; `casts` of its weights in autocast's format, one for all
    tasks; `waiting` are their gradients of one task; `working` is what the backward pass
    has besides, at its worst.
    """

    kept: int
    output: int
    casts: int
    waiting: int
    working: int


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a micro-batch at the worst moment of its passes.

    `activations` are what the backward pass needs, `casts` weights in autocast's format, `waiting`
    the weights' gradients from one task, `logits` what the heads have and keep, `working` what
    is there for a moment.
    """

    activations: int
    casts: int
    waiting: int
    logits: int
    working: int

    @property
    def total(self) -> int:
        return self.activations + self.casts + self.waiting + self.logits + self.working


@dataclass(frozen=True)
class PassMemory:
    """Bytes of a head, or of what paints: `kept` until the backward pass, and `passing`."""

    kept: int
    passing: int


def step_memory(
    config: UnifiedTransformerConfig,
    micro_batch: MicroBatch,
    checkpointing: bool,
    painting: PassMemory | None = None,
) -> StepMemory:
    """The worst of some moments: each head, the first block that goes back in the first task
    and in the last, and with `painting` (by `painting_memory`) its own way back.

    Where tasks go backward together, autograd adds up what a weight gets from all its uses
    before it is its gradient, so that between them the first one's gradients of all blocks wait.
    """
    together = micro_batch.together or painting is not None
    if not together and len(micro_batch.tasks) > 1:
        alone = (replace(micro_batch, tasks=(name,)) for name in micro_batch.tasks)
        found = (step_memory(config, one, checkpointing) for one in alone)
        return max(found, key=lambda step: step.total)
    block = block_memory(config, micro_batch)
    layers = config.num_hidden_layers
    stream = _stream_bytes(config, micro_batch)
    # Embeddings before and after their norm.
    one_way = 2 * stream + layers * (block.output if checkpointing else block.kept)
    heads = [head_memory(config, micro_batch, name) for name in micro_batch.tasks]
    painted = painting.kept if painting else 0
    passes = len(heads) + micro_batch.hidden_passes
    casts = layers * block.casts
    moments = []
    for done, head in enumerate(heads, start=1):
        kept = sum(earlier.kept for earlier in heads[:done])
        ways = painted + (done + micro_batch.hidden_passes) * one_way
        # The last norm's output is there as well.
        moments.append(StepMemory(ways, casts, 0, kept + head.passing, stream))
    kept, back = sum(head.kept for head in heads), 2 * stream + block.working
    if painting is None and passes == 1:  # the head has gone back, and let go of what it had
        kept, back = 0, block.working
    # With checkpointing one block is there again, with weights of its own; the others' are gone.
    again, there = (block.kept - block.output, block.casts) if checkpointing else (0, casts)
    first = StepMemory(painted + passes * one_way + again, there, 0, kept, back)
    last = StepMemory(painted + one_way + again, there, layers * block.waiting, heads[0].kept, back)
    moments += [first] if passes == 1 else [first, last]
    if painting is not None:  # the pass from image to text has gone back before
        waiting = layers * block.waiting if passes > 1 else 0
        left = painted + max(1, passes - 1) * one_way
        casts = 0 if checkpointing else casts
        moments.append(StepMemory(left, casts, waiting, kept, painting.passing))
    return max(moments, key=lambda moment: moment.total)


def block_memory(config: UnifiedTransformerConfig, micro_batch: MicroBatch) -> BlockMemory:
    """Read off a block that is run on fake tensors."""
    length = positions(config, micro_batch.text_length)
    with without_memory():
        block = Block(config, 0)
        for parameter in block.parameters():
            parameter.grad = torch.zeros_like(parameter)  # as from the second micro-batch on
        attention = _attention(config, micro_batch, block.pattern)
        x = torch.zeros(micro_batch.samples, length, config.hidden_size, requires_grad=True)
        pairs = config.hidden_size // config.num_attention_heads // 4
        turns = torch.zeros(2, length, pairs)
        with MemoryMeter() as meter:
            with micro_batch.autocast():
                # The first time makes what is made once: casts of the weights, masks.
                first = block(x, turns, attention)
                once = meter.live
                second = block(first, turns, attention)
                kept = meter.live - once
            gradient = torch.zeros_like(second)
            meter.restart()
            before = meter.live
            second.backward(gradient)
            working = meter.peak - before
        output = second.untyped_storage().nbytes()
    size, matrices = BYTES[micro_batch.precision], [p for p in block.parameters() if p.ndim == 2]
    count = sum(matrix.numel() for matrix in matrices)
    if size == BYTES["fp32"]:
        return BlockMemory(kept, output, 0, size * count, working)
    if micro_batch.stage_3:
        kept += 2 * (output - output // 4 * size)  # queries' and the feed-forward's inputs
        working += size * max(matrix.numel() for matrix in matrices)
        return BlockMemory(kept, output, 0, BYTES["fp32"] * count, working)
    return BlockMemory(kept, output, size * count, size * count, working)


def head_memory(
    config: UnifiedTransformerConfig, micro_batch: MicroBatch, task: Task
) -> PassMemory:
    """Of `WeightedNats`: gradients are made some logits at a time, while these are there."""
    size, width = BYTES[micro_batch.precision], config.hidden_size
    if task == "text_to_image":
        rows, vocabulary = config.image_positions, config.image_vocab_size
    else:
        rows, vocabulary = micro_batch.text_length - 1, config.text_vocab_size
    rows *= micro_batch.samples
    at_once = min(rows, max(1, LOGITS_AT_ONCE[micro_batch.device_type] // vocabulary))
    # Logits, in fp32 and as scores; in fp32 the first two are one.
    logits = at_once * vocabulary * (8 if size == 4 else size + 8)
    weights = vocabulary * width * (4 if size == 4 else 4 * size)  # of its gradient, and casts
    return PassMemory(4 * (rows + vocabulary) * width, logits + weights + 4 * rows * width)


def painting_memory(
    shape: ReconstructorConfig,
    tokenizer: VQGANConfig,
    micro_batch: MicroBatch,
    checkpointed: tuple[type[nn.Module], ...],
) -> PassMemory:
    """Of mapper and decoder in end-to-end training, run on fake tensors; their losses, and networks
    that judge them, aside. `checkpointed` are the modules that keep their inputs only."""
    places = shape.grid_height * shape.grid_width
    with without_memory():
        painter = Reconstructor(shape, Decoder(tokenizer))
        for parameter in painter.parameters():
            parameter.grad = torch.zeros_like(parameter)
        recompute(painter, checkpointed)
        hidden = torch.zeros(micro_batch.samples, places, shape.hidden_size, requires_grad=True)
        with MemoryMeter() as meter:
            with micro_batch.autocast():
                picture = painter(hidden)
            kept = meter.live
            gradient = torch.zeros_like(picture)
            meter.restart()
            before = meter.live
            picture.backward(gradient)
            return PassMemory(kept, meter.peak - before)


class FusedAttention(torch.autograd.Function):
    """What attention kernels of a GPU keep and make (`flex_attention`, and FlashAttention:
    2205.14135, algorithm 2): queries, keys, values, their result and a number for each query."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out, sums = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        query, key, value, _, sums = ctx.saved_tensors
        _common = torch.empty_like(sums)
        return tuple(torch.empty_like(tensor) for tensor in (query, key, value))


def _attention(
    config: UnifiedTransformerConfig, micro_batch: MicroBatch, pattern: str
) -> Attention:
    """Attention as this device computes it; on a GPU by what its kernels keep."""
    name = config.attention_implementation
    if name == AUTO:
        name = choose_implementation(torch.device(micro_batch.device_type), config.image_positions)
    if micro_batch.device_type == "cuda" and name != "blockwise":
        return FusedAttention.apply  # type: ignore[return-value]
    lengths = torch.full((micro_batch.samples,), micro_batch.text_length)
    task = micro_batch.tasks[0]
    sequence = build_sequence(
        lengths,
        micro_batch.text_length,
        config.grid,
        direction_of(task),
        lengths if task == "question_answering" else None,
    )
    attend = IMPLEMENTATIONS[name]
    return partial(attend, sequence=sequence, pattern=pattern, dropout=config.dropout)


def _stream_bytes(config: UnifiedTransformerConfig, micro_batch: MicroBatch) -> int:
    """The residual stream of a micro-batch at one place: always fp32."""
    length = positions(config, micro_batch.text_length)
    return 4 * micro_batch.samples * length * config.hidden_size
