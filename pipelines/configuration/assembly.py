"""Configurations -> objects: the one place where vq, unified_transformer and gan meet."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from gan import HingeLoss
from pipelines.command_line import UserError
from pipelines.configuration.loading import dump_configuration
from pipelines.configuration.schemas import BidirectionalRun, DualEncoderRun, TokenizerRun
from pipelines.data.loader import BatchLoader
from pipelines.data.settings import DataSettings
from pipelines.data.sources import captions_for_vocabulary, open_source, open_training_sources
from pipelines.data.text_tokenizer import (
    TextCodec,
    load_text_tokenizer,
    train_text_tokenizer,
)
from pipelines.samples import draw_both_directions, draw_reconstructions
from pipelines.training import storage
from pipelines.training.checkpoint import CheckpointPaths
from pipelines.training.distributed import Processes
from pipelines.training.loop import Batch
from pipelines.training.settings import TrainingSettings
from pipelines.training.task import Task
from unified_transformer import BidirectionalObjective, UnifiedTransformer, UnifiedTransformerConfig
from unified_transformer.blocks import Block
from vq import VQGAN, PatchDiscriminator, VQGANObjective, build_perceptual_loss
from vq.blocks import ResidualBlock, SelfAttention

Result = TypeVar("Result")

TEXT_TOKENIZER = "text_tokenizer"
"""Of a run, in its folder."""


def tokenizer_task(config: TokenizerRun, processes: Processes) -> Task:
    """Trains a VQGAN on pictures.

    Raises:
        UserError: the data cannot be read, or does not suit the model.
    """
    _check_size(config.data, config.model.downsampling_factor)
    _check_pictures(config)
    loader = _loader(config.data, config.training, config.seed, processes)
    device = processes.device
    torch.manual_seed(config.seed)
    tokenizer = VQGAN(config.model).to(device)
    objective = config.objective
    discriminator = perceptual = None
    if objective.adversarial_weight > 0:
        discriminator = PatchDiscriminator(config.discriminator).to(device)
    if objective.perceptual_weight > 0:
        # In one process, so that all have the same one, whatever a download does in each.
        perceptual = processes.on_main(
            lambda: _or_user_error(lambda: build_perceptual_loss(config.perceptual))
        )
        perceptual = perceptual.to(device) if perceptual is not None else None

    def on_device(batch: Batch) -> Batch:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    return Task(
        kind="tokenizer",
        abilities=("reconstruction",),
        objective=VQGANObjective(
            tokenizer,
            objective,
            discriminator,
            perceptual,
            HingeLoss(),
            processes.all_reduce_sum,
            processes.rank,
            processes.count,
        ),
        averaged=("generator",),
        batches=lambda step: [on_device(batch) for batch in loader.step(step)],
        validation_batches=lambda: map(
            on_device, loader.validation_batches(config.training.validation_batches)
        ),
        describe=lambda folder: dump_configuration(config, folder / "config.yaml"),
        reading=loader.counts,
        write_parts=lambda folder: tokenizer.save_pretrained(folder / "tokenizer"),
        draw_samples=lambda path, batch: draw_reconstructions(path, tokenizer, batch),
        matrices_in=tokenizer_matrices,
        recomputed=(ResidualBlock, SelfAttention),
    )


def bidirectional_task(
    config: BidirectionalRun,
    processes: Processes,
    tokenizer_checkpoint: CheckpointPaths,
    text_tokenizer: PreTrainedTokenizerBase,
) -> Task:
    """Trains a transformer in both directions over the ids of a frozen tokenizer.

    Raises:
        UserError: the data cannot be read, or does not suit the tokenizer.
    """
    device = processes.device
    tokenizer = _or_user_error(lambda: VQGAN.from_pretrained(tokenizer_checkpoint.tokenizer))
    tokenizer = tokenizer.to(device).requires_grad_(False)
    grid = _check_size(config.data, tokenizer.downsampling_factor)
    codec = TextCodec(text_tokenizer)
    loader = _loader(
        config.data,
        config.training,
        config.seed,
        processes,
        codec,
        config.model.text_positions,
        config.objective.caption_dropout,
    )
    torch.manual_seed(config.seed)
    model_config = _transformer_config(config, codec, tokenizer, grid)
    transformer = UnifiedTransformer(model_config)
    transformer.to(device)  # type: ignore[arg-type]  # transformers wraps it without its types

    def encode(batch: Batch) -> Batch:
        batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        return {**batch, "image_ids": tokenizer.encode_to_ids(batch["pixels"])}

    disable_progress_bar()  # the run has one of its own

    def write_parts(folder: Path) -> None:
        tokenizer.save_pretrained(folder / "tokenizer")
        text_tokenizer.save_pretrained(folder / "text_tokenizer")
        transformer.save_pretrained(folder / "transformer")

    return Task(
        kind="bidirectional",
        abilities=_directions(config),
        objective=BidirectionalObjective(
            transformer, model_config, config.objective, processes.all_reduce_sum
        ),
        averaged=("transformer",),
        batches=lambda step: [encode(batch) for batch in loader.step(step)],
        validation_batches=lambda: map(
            encode, loader.validation_batches(config.training.validation_batches)
        ),
        describe=lambda folder: describe_run(config, text_tokenizer, folder),
        reading=loader.counts,
        write_parts=write_parts,
        draw_samples=lambda path, batch: draw_both_directions(
            path, transformer, tokenizer, codec, batch
        ),
        matrices_in=transformer_matrices,
        recomputed=(Block,),
    )


def _transformer_config(
    config: BidirectionalRun, codec: TextCodec, tokenizer: VQGAN, grid: tuple[int, int]
) -> UnifiedTransformerConfig:
    """The shape that was asked for, over these words and codes."""
    return UnifiedTransformerConfig(
        **asdict(config.model),
        text_vocab_size=codec.vocabulary_size,
        image_vocab_size=tokenizer.config.codebook_size,
        grid_height=grid[0],
        grid_width=grid[1],
        pad_token_id=codec.pad_id,
        cls_token_id=codec.cls_id,
        sep_token_id=codec.sep_id,
        bos_token_id=codec.bos_id,
    )


def _directions(config: BidirectionalRun) -> tuple[str, ...]:
    """The tasks that the objective gives any weight."""
    weights = {
        "text_to_image": config.objective.text_to_image_weight,
        "image_to_text": config.objective.image_to_text_weight,
    }
    return tuple(task for task, weight in weights.items() if weight > 0)


def describe_run(
    config: BidirectionalRun | DualEncoderRun, text_tokenizer: PreTrainedTokenizerBase, run: Path
) -> None:
    """Leaves the configuration and the text tokenizer in the run's folder."""
    dump_configuration(config, run / "config.yaml")
    if not (run / TEXT_TOKENIZER).exists():
        writing = storage.begin(run / TEXT_TOKENIZER)
        text_tokenizer.save_pretrained(writing)
        storage.commit(writing)


def run_text_tokenizer(
    config: BidirectionalRun | DualEncoderRun, processes: Processes, run: Path
) -> PreTrainedTokenizerBase:
    """The text tokenizer of a run: the one in its folder, where it is resumed, or the one it names,
    or one trained on its captions."""

    def prepare() -> PreTrainedTokenizerBase:
        if (run / TEXT_TOKENIZER).exists():
            return load_text_tokenizer(run / TEXT_TOKENIZER)
        if config.text_tokenizer.path is not None:
            return load_text_tokenizer(config.text_tokenizer.path)
        source = open_source(config.data, seed=config.seed)
        return train_text_tokenizer(captions_for_vocabulary(source), config.text_tokenizer)

    return processes.on_main(prepare)


def _loader(
    data: DataSettings,
    training: TrainingSettings,
    seed: int,
    processes: Processes,
    codec: TextCodec | None = None,
    text_positions: int = 0,
    caption_dropout: float = 0.0,
) -> BatchLoader:
    """This process's share of the batches."""
    micro_batch_size, accumulation = _or_user_error(lambda: training.divide_batch(processes.count))
    train, validation = open_training_sources(data, codec is not None, seed)
    return BatchLoader(
        train,
        validation=validation,
        size=data.height_width,
        micro_batch_size=micro_batch_size,
        accumulation=accumulation,
        rank=processes.rank,
        world_size=processes.count,
        seed=seed,
        codec=codec,
        text_positions=text_positions,
        caption_dropout=caption_dropout,
        workers=data.workers,
    )


def _check_size(data: DataSettings, factor: int) -> tuple[int, int]:
    """The grid of ids of the data's pictures."""
    height, width = data.height_width
    if height % factor or width % factor:
        raise UserError(
            f"data.size is {height} x {width}, which does not divide into the tokenizer's "
            f"{factor} x {factor} squares; choose multiples of {factor}."
        )
    return height // factor, width // factor


def _check_pictures(config: TokenizerRun) -> None:
    """What would be found out only when the first picture, or the discriminator, comes."""
    if config.model.image_channels != 3:
        raise UserError(
            f"model.image_channels is {config.model.image_channels}; pictures are read as RGB: 3."
        )
    needed = config.discriminator.smallest_picture
    if config.objective.adversarial_weight > 0 and min(config.data.height_width) < needed:
        raise UserError(
            f"data.size is {config.data.size}, and a discriminator with "
            f"layers={config.discriminator.layers} needs {needed} pixels a side; choose larger "
            "pictures or fewer discriminator.layers."
        )


def _or_user_error(build: Callable[[], Result]) -> Result:
    """Model packages refuse with ValueError and FileNotFoundError: here the user's mistakes."""
    try:
        return build()
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error


def tokenizer_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices that decay a parameter of the first stage holds: codes are none."""
    return 1 if parameter.ndim >= 2 and "codebook" not in name else 0


def transformer_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices, for weight decay and Muon, a parameter of the second stage holds.

    None in embeddings and heads, whose rows each stand for one token; three in the projection to
    queries, keys and values, which are unlike each other: made orthogonal together, they learn
    far more slowly (docs/results.md).
    """
    if parameter.ndim < 2 or name.startswith(("embeddings.", "image_head.", "text_head.")):
        return 0
    return 3 if name.endswith("query_key_value.weight") else 1
