"""What judges reconstructions besides their pixels: LPIPS, a discriminator, and contrasts in its
features."""

from torch import nn

from gan import ContrastingDiscriminator, ContrastSettings, PaintingContrasts
from pipelines.command_line import UserError
from pipelines.configuration.assembly.parts import or_user_error
from pipelines.data.settings import DataSettings
from pipelines.text_encoding import TextReading
from pipelines.training.distributed import Processes
from pipelines.training.settings import TrainingSettings
from vq import (
    GlobalBatch,
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    PerceptualLoss,
    PerceptualLossSettings,
    ReconstructionSettings,
    build_perceptual_loss,
)


def build_discriminator(
    settings: ReconstructionSettings,
    config: PatchDiscriminatorConfig,
    contrasts: ContrastSettings,
    data: DataSettings,
    processes: Processes,
    texts: TextReading | None = None,
) -> nn.Module | None:
    """Where the adversarial term or a contrast has a weight; with contrasts it has their heads.

    Args:
        texts: what pictures are compared with, where they are.

    Raises:
        UserError: the pictures are too small for it.
    """
    if settings.adversarial_weight == 0 and not contrasts.used:
        return None
    needed = config.smallest_picture
    if min(data.height_width) < needed:
        raise UserError(
            f"data.size is {data.size}, and a discriminator with layers={config.layers} needs "
            f"{needed} pixels a side; choose larger pictures or fewer discriminator.layers."
        )
    discriminator = PatchDiscriminator(config)
    if not contrasts.used:
        return discriminator.to(processes.device)
    width = 0 if texts is None else texts.encoder.width
    return ContrastingDiscriminator(discriminator, contrasts, width).to(processes.device)


def build_contrasts(
    contrasts: ContrastSettings,
    training: TrainingSettings,
    processes: Processes,
    texts: TextReading | None = None,
) -> PaintingContrasts | None:
    """Where one has a weight.

    Raises:
        UserError: there are no pictures to compare.
    """
    if not contrasts.used:
        return None
    micro_batch_size, _ = or_user_error(lambda: training.divide_batch(processes.count))
    if micro_batch_size * processes.count < 2:
        raise UserError(
            f"contrasts.{contrasts.used[0]} is above 0, and compares the pictures of a "
            "micro-batch, which has only one; raise training.micro_batch_size (or batch_size) to "
            "2 or more, better to 16, or set the weight to 0."
        )
    everyone = GlobalBatch(processes.all_reduce_sum, processes.rank, processes.count)
    return PaintingContrasts(contrasts, everyone, None if texts is None else texts.encoder)


def perceptual_loss(
    settings: ReconstructionSettings, perceptual: PerceptualLossSettings, processes: Processes
) -> PerceptualLoss | None:
    """Where the perceptual term has a weight and its network can be had."""
    if settings.perceptual_weight == 0:
        return None
    # In one process, so that all have the same one, whatever a download does in each.
    found = processes.on_main(lambda: or_user_error(lambda: build_perceptual_loss(perceptual)))
    return found.to(processes.device) if found is not None else None
