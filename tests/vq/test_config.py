"""Settings that make no model are refused."""

import pytest

from vq import PatchDiscriminatorConfig, PerceptualLossSettings, VQGANConfig, VQGANObjectiveSettings


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (VQGANConfig, "channel_multipliers", []),
        (VQGANConfig, "channel_multipliers", [1, 0]),
        (VQGANConfig, "base_channels", 0),
        (VQGANConfig, "codebook_size", 1),
        (VQGANConfig, "attention_levels", 5),
        (VQGANConfig, "normalization", "batch"),
        (VQGANConfig, "encoder_kernel_size", 2),
        (VQGANConfig, "quantizer", "product"),
        (VQGANConfig, "ema_decay", 1.0),
        (VQGANConfig, "revive_after_steps", -1),
        (VQGANObjectiveSettings, "l1_weight", -1.0),
        (VQGANObjectiveSettings, "foreground_weight", 0.5),
        (VQGANObjectiveSettings, "kl_weight", -1.0),
        (VQGANObjectiveSettings, "final_temperature", 0.0),
        (VQGANObjectiveSettings, "final_temperature", 1.5),
        (PatchDiscriminatorConfig, "layers", 0),
        (PerceptualLossSettings, "backbone", "resnet"),
        (PerceptualLossSettings, "fallback", "zeros"),
    ],
)
def test_bad_values_are_refused_by_name(kind, name, value):
    with pytest.raises(ValueError, match=name):
        kind(**{name: value})


def test_an_objective_without_reconstruction_is_refused():
    with pytest.raises(ValueError, match="reconstruction"):
        VQGANObjectiveSettings(l1_weight=0, l2_weight=0, perceptual_weight=0)


@pytest.mark.parametrize(
    ("multipliers", "patch_size", "factor"),
    [((1, 2, 4), 1, 4), ((1, 1, 2, 4), 1, 8), ((1, 1, 2, 2, 4), 1, 16), ((1, 2), 4, 8)],
)
def test_downsampling_factor(multipliers, patch_size, factor):
    config = VQGANConfig(channel_multipliers=multipliers, patch_size=patch_size)
    assert config.downsampling_factor == factor
