"""The first stage."""

from dataclasses import fields

import torch
from torch import Tensor

from gan import adversarial_loss
from pipelines.command_line import UserError
from pipelines.configuration.assembly.judges import (
    build_contrasts,
    build_discriminator,
    perceptual_loss,
)
from pipelines.configuration.assembly.parts import (
    build_loader,
    check_same_settings,
    check_size,
    read_by,
)
from pipelines.configuration.assembly.run_folder import CONFIGURATION
from pipelines.configuration.assembly.work import tokenizer_work
from pipelines.configuration.loading import dump_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.model_loading import load_tokenizer
from pipelines.samples import draw_reconstructions
from pipelines.training.checkpoint import CheckpointPaths, open_checkpoint
from pipelines.training.distributed import Processes
from pipelines.training.task import Task
from vq import VQGAN, VQGANConfig, VQGANObjective
from vq.blocks import ResidualBlock, SelfAttention

HOW_CODES_ARE_LEARNED = ("codebook_update", "codebook_start", "ema_decay", "revive_after_steps")
"""Settings of a tokenizer that may differ from those its weights come from."""
LARGE_MODULES = (ResidualBlock, SelfAttention)
"""Of encoder and decoder, those that activation checkpointing is about."""


def tokenizer_task(config: TokenizerRun, processes: Processes) -> Task:
    """Trains a VQGAN on pictures.

    Raises:
        UserError: the data cannot be read, or does not suit the model; or the checkpoint to start
            from does not.
    """
    check_size(config.data, config.model.downsampling_factor)
    if config.model.image_channels != 3:
        raise UserError(
            f"model.image_channels is {config.model.image_channels}; pictures are read as RGB: 3."
        )
    loader = build_loader(config.data, config.training, config.seed, processes)
    device, objective = processes.device, config.objective
    torch.manual_seed(config.seed)
    tokenizer = VQGAN(config.model)
    if (start := config.initialize_from) is not None:
        found = processes.together(lambda: open_checkpoint(start, "tokenizer"))
        _take_weights(tokenizer, found, processes)
    tokenizer.to(device)
    discriminator = build_discriminator(
        objective, config.discriminator, config.contrasts, config.data, processes
    )
    return Task(
        kind="tokenizer",
        abilities=("reconstruction",),
        objective=VQGANObjective(
            tokenizer,
            objective,
            discriminator,
            perceptual_loss(objective, config.perceptual, processes),
            adversarial_loss(objective.adversarial_loss),
            processes.all_reduce_sum,
            processes.rank,
            processes.count,
            build_contrasts(config.contrasts, config.training, processes),
        ),
        averaged=("generator",),
        describe=lambda folder: dump_configuration(config, folder / CONFIGURATION),
        **read_by(loader, config.training, device),
        write_parts=lambda folder: tokenizer.save_pretrained(folder / "tokenizer"),
        draw_samples=lambda path, batch: draw_reconstructions(path, tokenizer, batch),
        matrices_in=tokenizer_matrices,
        recomputed=LARGE_MODULES,
        work=tokenizer_work(config.model, config.data.height_width),
    )


def _take_weights(tokenizer: VQGAN, start: CheckpointPaths, processes: Processes) -> None:
    """Gives a new tokenizer the weights of a checkpoint's; statistics of its codes start anew.

    Raises:
        UserError: it has another shape.
    """
    loaded = load_tokenizer(start.tokenizer)
    names = [field.name for field in fields(VQGANConfig) if field.name not in HOW_CODES_ARE_LEARNED]
    check_same_settings("model", tokenizer.config, loaded.config, names, start.root)
    tokenizer.load_state_dict(loaded.state_dict())
    processes.log(
        f"The tokenizer of {start.root} is trained on, and its ids come to mean other pictures: a "
        "transformer over the old ids must be trained again over the new tokenizer's."
    )


def tokenizer_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices that decay a parameter of the first stage holds: codes are none."""
    return 1 if parameter.ndim >= 2 and "codebook" not in name else 0
