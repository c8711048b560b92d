"""How likely pairs are, and which of a block are found."""

import numpy as np
import pytest
import torch

from pipelines import BidirectionalPipeline
from pipelines.data.transforms import arrays_to_pixels
from pipelines.evaluation import likelihoods
from pipelines.evaluation.likelihoods import (
    caption_fits,
    encode_captions,
    measure_likelihoods,
    retrieve,
)
from pipelines.evaluation.rows import Block
from unified_transformer import BidirectionalObjective, BidirectionalObjectiveSettings

CAPTIONS = ["a small red circle", "a large blue star", "a large red star", "a small red circle"]


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def block():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in CAPTIONS]
    texts = [[caption] for caption in CAPTIONS]
    return Block(0, [0, 1, 2, 3], [0, 1, 2, 3], pictures, [""] * 4, texts, [[]] * 4, [""] * 4)


@pytest.fixture(scope="module")
def ids(pipe, block):
    return pipe.tokenizer.encode_to_ids(arrays_to_pixels(np.stack(block.pictures)))


def test_likelihoods_are_those_of_training(pipe, block, ids):
    found = measure_likelihoods(pipe, ids, block)
    objective = BidirectionalObjective(
        pipe.transformer, pipe.transformer.config, BidirectionalObjectiveSettings()
    )
    sums = objective.evaluate({**encode_captions(pipe, CAPTIONS), "image_ids": ids})
    total, count = sums["text_to_image"]
    assert found.image.numel() == count
    assert found.image.sum().item() == pytest.approx(total.item(), rel=1e-5)
    total, count = sums["image_to_text"]
    assert found.tokens.sum() == count
    assert found.caption.sum().item() == pytest.approx(total.item(), rel=1e-5)


def test_only_the_first_blocks_look_for_their_own(pipe, block, ids, monkeypatch):
    assert measure_likelihoods(pipe, ids, block).found.rows == 4
    monkeypatch.setattr(likelihoods, "BLOCKS_WITH_RETRIEVAL", 0)
    assert measure_likelihoods(pipe, ids, block).found is None


def test_a_pair_is_found_where_it_is_the_likeliest(pipe, ids, monkeypatch):
    texts = encode_captions(pipe, CAPTIONS) | {"wanted": torch.tensor([0.0, -1.0, 1.0, 0.0])}
    of_picture = torch.tensor([3.0, 1.0, 2.0, 4.0])
    numbers = torch.arange(4)[:, None, None].expand(4, 4, 4)
    monkeypatch.setattr(likelihoods, "image_nll", lambda m, batch, c: batch["wanted"][:, None])
    monkeypatch.setattr(
        likelihoods, "caption_nll", lambda m, batch, c: of_picture[batch["image_ids"][:, 0, :1]]
    )
    found = retrieve(pipe, numbers, texts, CAPTIONS)
    # Whatever the picture, row 1's caption is the likeliest: only row 1 finds its own.
    assert found.captions == 1
    # Whatever the caption, row 1's picture is.
    assert found.pictures == 1
    # Rows 0 and 3 share a caption and have two others.
    assert found.rows == 4 and found.candidates == 3 + 4 + 4 + 3
    monkeypatch.setattr(
        likelihoods, "caption_nll", lambda m, batch, c: torch.zeros(len(batch["image_ids"]), 1)
    )
    assert retrieve(pipe, numbers, texts, CAPTIONS).pictures == 0  # equally likely is not found


def test_rows_without_any_other_caption_are_not_looked_for(pipe, ids):
    texts = encode_captions(pipe, ["a red star"] * 4)
    found = retrieve(pipe, ids, texts, ["a red star"] * 4)
    assert (found.rows, found.captions, found.candidates) == (0, 0, 0)


def test_a_picture_fits_by_the_mean_log_likelihood_of_its_caption(pipe, block):
    fits = caption_fits(pipe, block.pictures, CAPTIONS)
    scores = pipe.score_captions(block.pictures[1:2], CAPTIONS[1:2])[0][0]
    tokens = len(pipe.encode_prompts(CAPTIONS[1:2])[0].ids) - 1
    assert fits[1] == pytest.approx(scores / tokens, rel=1e-4)
