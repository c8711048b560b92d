"""What judges reconstructions besides their pixels: LPIPS and a discriminator."""

from pipelines.command_line import UserError
from pipelines.configuration.assembly.parts import or_user_error
from pipelines.data.settings import DataSettings
from pipelines.training.distributed import Processes
from vq import (
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
    data: DataSettings,
    processes: Processes,
) -> PatchDiscriminator | None:
    """Where the adversarial term has a weight.

    Raises:
        UserError: the pictures are too small for it.
    """
    if settings.adversarial_weight == 0:
        return None
    needed = config.smallest_picture
    if min(data.height_width) < needed:
        raise UserError(
            f"data.size is {data.size}, and a discriminator with layers={config.layers} needs "
            f"{needed} pixels a side; choose larger pictures or fewer discriminator.layers."
        )
    return PatchDiscriminator(config).to(processes.device)


def perceptual_loss(
    settings: ReconstructionSettings, perceptual: PerceptualLossSettings, processes: Processes
) -> PerceptualLoss | None:
    """Where the perceptual term has a weight and its network can be had."""
    if settings.perceptual_weight == 0:
        return None
    # In one process, so that all have the same one, whatever a download does in each.
    found = processes.on_main(lambda: or_user_error(lambda: build_perceptual_loss(perceptual)))
    return found.to(processes.device) if found is not None else None
