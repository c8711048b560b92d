"""Pixels <-> ids: the VQGAN image tokenizer; this package knows no text."""

from vq.config import VQGANConfig
from vq.discriminator import PatchDiscriminator, PatchDiscriminatorConfig
from vq.losses import PerceptualLoss, PerceptualLossSettings, build_perceptual_loss, psnr
from vq.objective import VQGANObjective, VQGANObjectiveSettings
from vq.reconstruction import ReconstructionGame, ReconstructionSettings
from vq.vqgan import VQGAN, VQGANOutput

__all__ = [
    "VQGAN",
    "PatchDiscriminator",
    "PatchDiscriminatorConfig",
    "PerceptualLoss",
    "PerceptualLossSettings",
    "ReconstructionGame",
    "ReconstructionSettings",
    "VQGANConfig",
    "VQGANObjective",
    "VQGANObjectiveSettings",
    "VQGANOutput",
    "build_perceptual_loss",
    "psnr",
]
