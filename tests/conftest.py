"""Shared by all tests: GPU tests skip cleanly where there is no GPU, and a small checkpoint with
random weights, as training writes it."""

import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, settings
from transformers.utils import logging as transformers_logging

from pipelines.data.scenes import LANGUAGES
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.dual_encoder.model import DualEncoderShape, build_dual_encoder
from pipelines.training.checkpoint import write_checkpoint
from unified_transformer import (
    Reconstructor,
    ReconstructorConfig,
    UnifiedTransformer,
    UnifiedTransformerConfig,
)
from vq import VQGAN, Decoder, VQGANConfig

transformers_logging.disable_progress_bar()

# Of the fuzzing tests: the same examples at each run, or many more (--hypothesis-profile=thorough).
for profile, examples in (("quick", 100), ("thorough", 4000)):
    settings.register_profile(
        profile,
        max_examples=examples,
        derandomize=profile == "quick",
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
settings.load_profile("quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


CAPTIONS = [
    f"a {size} {colour} {shape} above a {size} {colour} {shape} below left right of it"
    for size in LANGUAGES["en"].sizes.values()
    for colour in LANGUAGES["en"].colours.values()
    for shape in LANGUAGES["en"].shapes.values()
] + ["大红色圆形在小蓝色正方形上方"]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """32 pixels, 4 x 4 ids, 16 text positions: `checkpoint/` inside a run folder."""
    torch.manual_seed(0)
    tokenizer = VQGAN(
        VQGANConfig(
            base_channels=8,
            channel_multipliers=(1, 1),
            residual_blocks=1,
            attention_levels=0,
            middle_attention=False,
            patch_size=4,
            latent_channels=16,
            codebook_size=32,
            code_dim=4,
            codebook_start="random",
        )
    )
    text_tokenizer = train_text_tokenizer(CAPTIONS, TextTokenizerSettings())
    codec = TextCodec(text_tokenizer)
    transformer = UnifiedTransformer(
        UnifiedTransformerConfig(
            text_vocab_size=codec.vocabulary_size,
            image_vocab_size=32,
            grid_height=4,
            grid_width=4,
            pad_token_id=codec.pad_id,
            cls_token_id=codec.cls_id,
            sep_token_id=codec.sep_id,
            bos_token_id=codec.bos_id,
            initializer_range=0.3,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            text_positions=16,
        )
    )

    def write_parts(folder):
        tokenizer.save_pretrained(folder / "tokenizer")
        text_tokenizer.save_pretrained(folder / "text_tokenizer")
        transformer.save_pretrained(folder / "transformer")

    target = tmp_path_factory.mktemp("run") / "checkpoint"
    write_checkpoint(target, "bidirectional", ("text_to_image", "image_to_text"), 0, write_parts)
    return target


@pytest.fixture(scope="session")
def end_to_end_checkpoint(checkpoint, tmp_path_factory):
    """The same with a reconstructor."""
    tokenizer = VQGAN.from_pretrained(checkpoint / "tokenizer")
    torch.manual_seed(1)
    shape = ReconstructorConfig(
        hidden_size=32, code_dim=4, grid_height=4, grid_width=4, mapper_size=16
    )
    reconstructor = Reconstructor(shape, Decoder(tokenizer.config))

    def write_parts(folder):
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
        reconstructor.save_pretrained(folder / "reconstructor")
        (folder / "model_index.json").unlink()

    target = tmp_path_factory.mktemp("end_to_end") / "checkpoint"
    write_checkpoint(target, "bidirectional", ("text_to_image", "image_to_text"), 0, write_parts)
    return target


@pytest.fixture(scope="session")
def tokenizer_checkpoint(checkpoint, tmp_path_factory):
    """A tokenizer run's checkpoint."""
    target = tmp_path_factory.mktemp("tokenizer_run") / "checkpoint"
    tokenizer = VQGAN.from_pretrained(checkpoint / "tokenizer")
    write_checkpoint(
        target,
        "tokenizer",
        ("reconstruction",),
        0,
        lambda folder: tokenizer.save_pretrained(folder / "tokenizer"),
    )
    return target


@pytest.fixture(scope="session")
def dual_encoder_shape():
    """8 text positions, 4 dimensions, no dropout."""
    return DualEncoderShape(
        vision_hidden_sizes=(8, 16),
        vision_depths=(1, 1),
        text_hidden_size=16,
        text_layers=1,
        text_heads=2,
        text_positions=8,
        projection_dim=4,
        dropout=0.0,
    )


@pytest.fixture(scope="session")
def dual_encoder_checkpoint(dual_encoder_shape, tmp_path_factory):
    """32 pixels, 32 text positions, 8 dimensions: `checkpoint/` inside a run folder."""
    torch.manual_seed(0)
    text_tokenizer = train_text_tokenizer(CAPTIONS, TextTokenizerSettings())
    shape = replace(dual_encoder_shape, text_positions=32, projection_dim=8)
    model = build_dual_encoder(shape, TextCodec(text_tokenizer), (32, 32))

    def write_parts(folder):
        model.save_pretrained(folder / "dual_encoder")
        text_tokenizer.save_pretrained(folder / "text_tokenizer")

    target = tmp_path_factory.mktemp("dual_encoder_run") / "checkpoint"
    write_checkpoint(target, "dual_encoder", ("image_text_matching",), 0, write_parts)
    return target
