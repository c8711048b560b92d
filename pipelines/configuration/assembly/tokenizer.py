"""The first stage."""

import torch
from torch import Tensor

from gan import HingeLoss
from pipelines.command_line import UserError
from pipelines.configuration.assembly.judges import build_discriminator, perceptual_loss
from pipelines.configuration.assembly.parts import build_loader, check_size, on_device
from pipelines.configuration.assembly.run_folder import CONFIGURATION
from pipelines.configuration.assembly.work import tokenizer_work
from pipelines.configuration.loading import dump_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.samples import draw_reconstructions
from pipelines.training.distributed import Processes
from pipelines.training.task import Task
from vq import VQGAN, VQGANObjective
from vq.blocks import ResidualBlock, SelfAttention

LARGE_MODULES = (ResidualBlock, SelfAttention)
"""Of encoder and decoder, those that activation checkpointing is about."""


def tokenizer_task(config: TokenizerRun, processes: Processes) -> Task:
    """Trains a VQGAN on pictures.

    Raises:
        UserError: the data cannot be read, or does not suit the model.
    """
    check_size(config.data, config.model.downsampling_factor)
    if config.model.image_channels != 3:
        raise UserError(
            f"model.image_channels is {config.model.image_channels}; pictures are read as RGB: 3."
        )
    loader = build_loader(config.data, config.training, config.seed, processes)
    device, objective = processes.device, config.objective
    torch.manual_seed(config.seed)
    tokenizer = VQGAN(config.model).to(device)
    discriminator = build_discriminator(objective, config.discriminator, config.data, processes)
    return Task(
        kind="tokenizer",
        abilities=("reconstruction",),
        objective=VQGANObjective(
            tokenizer,
            objective,
            discriminator,
            perceptual_loss(objective, config.perceptual, processes),
            HingeLoss(),
            processes.all_reduce_sum,
            processes.rank,
            processes.count,
        ),
        averaged=("generator",),
        batches=lambda step: [on_device(batch, device) for batch in loader.step(step)],
        validation_batches=lambda: (
            on_device(batch, device)
            for batch in loader.validation_batches(config.training.validation_batches)
        ),
        describe=lambda folder: dump_configuration(config, folder / CONFIGURATION),
        reading=loader,
        write_parts=lambda folder: tokenizer.save_pretrained(folder / "tokenizer"),
        draw_samples=lambda path, batch: draw_reconstructions(path, tokenizer, batch),
        matrices_in=tokenizer_matrices,
        recomputed=LARGE_MODULES,
        work=tokenizer_work(config.model, config.data.height_width),
    )


def tokenizer_matrices(name: str, parameter: Tensor) -> int:
    """How many matrices that decay a parameter of the first stage holds: codes are none."""
    return 1 if parameter.ndim >= 2 and "codebook" not in name else 0
