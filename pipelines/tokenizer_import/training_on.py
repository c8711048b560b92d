"""How an imported tokenizer is trained on: a configuration that fits its shape."""

from pathlib import Path
from typing import Any

import yaml

from pipelines.configuration.loading import as_plain_values
from pipelines.training.storage import replace_file
from vq import VQGANConfig

HEADER = """\
# Trains this imported tokenizer on with other pictures; a transformer over its old ids must then be
# trained again.
#
#     accelerate launch pipelines/train_tokenizer.py \\
#         --config {file} data.source=FOLDER output=runs/tokenizer
#
# The shape is that of the weights. From taming-transformers: terms and their weights, betas,
# discriminator. Ours: a hundredth of the rate at which ours learn from nothing, a discriminator,
# which starts from nothing, that arrives slowly, and the temperatures of a Gumbel quantizer.
"""

STEPS = 20_000

QUANTIZER_TERMS: dict[str, dict[str, Any]] = {
    "nearest": {"commitment_weight": 0.25},
    # As GumbelVQ has it where its configuration says nothing, in the same units.
    "gumbel": {"kl_weight": 1e-8, "temperature_steps": STEPS},
}


def write_training_yaml(folder: Path, config: VQGANConfig, size: int) -> None:
    """`training.yaml` in the folder that holds `checkpoint/`; it serves from any other."""
    folder = folder.resolve()
    settings: dict[str, Any] = {
        "model": as_plain_values(config),
        "objective": {
            "l1_weight": 1.0,
            "perceptual_weight": 1.0,
            **QUANTIZER_TERMS[config.quantizer],
            "adversarial_weight": 0.8,
            "adversarial_start_step": 1000,
            "adversarial_warmup_steps": 2000,
        },
        "discriminator": {"base_channels": 64, "layers": 3},
        "perceptual": {"backbone": "vgg"},
        "data": {"source": "FOLDER", "size": size, "workers": 2},
        "training": {
            "steps": STEPS,
            "batch_size": 16,
            "micro_batch_size": 4,
            "precision": "bf16",
            "optimizer": {
                "learning_rate": 2e-5,
                "betas": [0.5, 0.9],
                "weight_decay": 0.0,
                "warmup_steps": 500,
                "schedule": "linear",
            },
            "validate_every": 1000,
            "sample_every": 1000,
            "save_every": 1000,
            "log_every": 20,
        },
        "initialize_from": str(folder),
        "output": "runs/tokenizer",
    }
    file = folder / "training.yaml"
    text = HEADER.format(file=file) + yaml.safe_dump(settings, sort_keys=False)
    replace_file(file, lambda writing: writing.write_text(text, encoding="utf-8"))
