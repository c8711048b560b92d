"""A dual encoder that reads characters, and small runs of GANs."""

import numpy as np
import pytest
import torch

from gan import ALPHABET
from pipelines import train_gan
from pipelines.data.text_tokenizer import TextCodec, character_tokenizer
from pipelines.dual_encoder.model import DualEncoderShape, build_dual_encoder
from pipelines.training.checkpoint import write_checkpoint

SMALL = [
    "data.source=scenes",
    "data.size=32",
    "training.steps=2",
    "training.minutes=null",
    "training.batch_size=4",
    "training.sample_every=2",
    "training.trackers=[]",
    "generator.base_channels=4",
    "generator.noise_dim=8",
    "discriminator.base_channels=4",
    "discriminator.contrast_dim=16",
    "frozen_network=text_encoder",
    "text_encoder_config=null",
]
NOISE_ALONE = ("text_encoder=null", "objective.wrong_pairs_weight=0")


def arrays(images):
    return [np.asarray(image).astype(int) for image in images]


def far(one, other):
    """Sums in batches of other sizes may round otherwise: one level of 256 at most."""
    return np.abs(one - other).max() > 1


def noise_drawn(pipe):
    """A list that the noise of each pass to come is added to."""
    seen = []
    pipe.generator.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    return seen


@pytest.fixture(scope="session")
def character_checkpoint(tmp_path_factory):
    """32 pixels, 8 dimensions: `checkpoint/` inside a run folder."""
    torch.manual_seed(0)
    text_tokenizer = character_tokenizer(ALPHABET)
    shape = DualEncoderShape(
        text_encoder="characters",
        character_channels=(8, 8),
        vision_hidden_sizes=(8, 16),
        vision_depths=(1, 1),
        text_hidden_size=16,
        projection_dim=8,
    )
    model = build_dual_encoder(shape, TextCodec(text_tokenizer), (32, 32))

    def write_parts(folder):
        model.save_pretrained(folder / "dual_encoder")
        text_tokenizer.save_pretrained(folder / "text_tokenizer")

    target = tmp_path_factory.mktemp("character_run") / "checkpoint"
    write_checkpoint(target, "dual_encoder", ("image_text_matching",), 0, write_parts)
    return target


@pytest.fixture(scope="session")
def trained(tmp_path_factory, dual_encoder_checkpoint, character_checkpoint):
    """name of a YAML, overrides -> the folder of a run of two steps, one for all tests."""
    runs = {}

    def train(name: str, *overrides: str):
        if (name, overrides) not in runs:
            folder = tmp_path_factory.mktemp("gan") / "run"
            of_characters = name in ("gan_cls", "gan_int_cls")
            source = character_checkpoint if of_characters else dual_encoder_checkpoint
            arguments = ["--config", f"gan/{name}.yaml", *SMALL, f"text_encoder={source}"]
            train_gan.main([*arguments, *overrides, f"output={folder}"])
            runs[name, overrides] = folder
        return runs[name, overrides]

    return train
