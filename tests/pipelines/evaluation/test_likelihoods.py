"""How likely pairs are, and which of a block are found."""

import numpy as np
import pytest
import torch

from pipelines import BidirectionalPipeline
from pipelines.data.transforms import arrays_to_pixels
from pipelines.evaluation import likelihoods
from pipelines.evaluation.likelihoods import (
    candidates,
    caption_fits,
    encode_captions,
    found_among,
    measure_likelihoods,
)
from pipelines.evaluation.rows import Block
from unified_transformer import BidirectionalObjective, BidirectionalObjectiveSettings
from unified_transformer.sequence import DIRECTIONS

CAPTIONS = ["a small red circle", "a large blue star", "a large red star", "a small red circle"]


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def block():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in CAPTIONS]
    texts = [[caption] for caption in CAPTIONS]
    return Block(0, [0, 1, 2, 3], [0, 1, 2, 3], pictures, texts, [[]] * 4, [""] * 4)


@pytest.fixture(scope="module")
def ids(pipe, block):
    return pipe.tokenizer.encode_to_ids(arrays_to_pixels(np.stack(block.pictures)))


def test_likelihoods_are_those_of_training(pipe, block, ids):
    found = measure_likelihoods(pipe, ids, block, DIRECTIONS)
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
    found = measure_likelihoods(pipe, ids, block, DIRECTIONS)
    # Rows 0 and 3 share a caption and have two others.
    for one in (found.caption_found, found.picture_found):
        assert (one.rows, one.candidates) == (4, 3 + 4 + 4 + 3)
    monkeypatch.setattr(likelihoods, "BLOCKS_WITH_RETRIEVAL", 0)
    found = measure_likelihoods(pipe, ids, block, DIRECTIONS)
    assert found.caption_found is found.picture_found is None


def test_a_direction_that_is_not_measured_has_no_likelihood(pipe, block, ids):
    drawing = measure_likelihoods(pipe, ids, block, ["text_to_image"])
    assert drawing.image is not None and drawing.caption_found is not None
    assert drawing.caption is drawing.picture_found is None
    describing = measure_likelihoods(pipe, ids, block, ["image_to_text"])
    assert describing.image is describing.caption_found is None
    assert describing.caption is not None and describing.picture_found is not None


def test_a_pair_is_found_where_it_is_the_likeliest(pipe, block, monkeypatch):
    """Whatever the picture, row 1's caption is the likeliest; whatever the caption, row 2's
    picture."""
    of_caption = {text: n for n, text in enumerate(CAPTIONS)}
    encoded = encode_captions(pipe, CAPTIONS)["text_ids"].tolist()
    numbers = torch.arange(4)[:, None, None].expand(4, 4, 4)
    nats = {tuple(encoded[n]): 1.0 + (n != 1) for n in of_caption.values()}

    def image_nll(model, batch, config):
        return torch.tensor([nats[tuple(ids)] for ids in batch["text_ids"].tolist()])[:, None]

    def caption_nll(model, batch, config):
        return 1.0 + (batch["image_ids"][:, 0, :1] != 2)

    monkeypatch.setattr(likelihoods, "image_nll", image_nll)
    monkeypatch.setattr(likelihoods, "caption_nll", caption_nll)
    found = measure_likelihoods(pipe, numbers, block, DIRECTIONS)
    assert found.caption_found.own == found.picture_found.own == 1


def test_own_among_others():
    pairs = candidates(["a", "b", "c", "a"])
    assert pairs.tolist() == [
        [True, True, True, False],
        [True, True, True, True],
        [True, True, True, True],
        [False, True, True, True],
    ]
    row, other = pairs.nonzero(as_tuple=True)
    nearest = torch.where(row == other, 0.0, 1.0)
    assert found_among(pairs, nearest[:, None]).own == 4
    # As likely as another is not found; the loss is the sum over targets.
    assert found_among(pairs, torch.ones(len(row), 2)).own == 0
    only_second = torch.where((row == other) & (row == 2), 0.0, 1.0)
    assert found_among(pairs, torch.stack([only_second, only_second], 1)).own == 1
    alone = found_among(candidates(["a", "a"]), torch.zeros(2, 1))
    assert (alone.own, alone.rows, alone.candidates) == (0, 0, 0)


def test_a_picture_fits_by_the_mean_log_likelihood_of_its_caption(pipe, block):
    fits = caption_fits(pipe, block.pictures, CAPTIONS)
    scores = pipe.score_captions(block.pictures[1:2], CAPTIONS[1:2])[0][0]
    tokens = len(pipe.encode_prompts(CAPTIONS[1:2])[0].ids) - 1
    assert fits[1] == pytest.approx(scores / tokens, rel=1e-4)
