"""Pixels <-> ids: the VQGAN image tokenizer; this package knows no text."""

from vq.code_usage import perplexity
from vq.config import VQGANConfig
from vq.discriminator import PatchDiscriminator, PatchDiscriminatorConfig
from vq.encoder_decoder import Decoder, Encoder
from vq.global_batch import GlobalBatch
from vq.losses import PerceptualLoss, PerceptualLossSettings, build_perceptual_loss, psnr
from vq.objective import VQGANObjective, VQGANObjectiveSettings
from vq.reconstruction import ReconstructionGame, ReconstructionSettings
from vq.vqgan import VQGAN, VQGANOutput, pictures_at_once, read_vqgan_config

__all__ = [
    "VQGAN",
    "Decoder",
    "Encoder",
    "GlobalBatch",
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
    "perplexity",
    "pictures_at_once",
    "psnr",
    "read_vqgan_config",
]
