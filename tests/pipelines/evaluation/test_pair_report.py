import numpy as np
import pytest
import torch

from pipelines import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.sources import Row, Texts, UnreadableRow
from pipelines.data.transforms import to_pixels
from pipelines.evaluation.candidates import draw_candidates
from pipelines.evaluation.pair_report import encode_captions, measure_pairs
from pipelines.evaluation.pairs import Pairs, read_pairs, show_pairs
from unified_transformer import BidirectionalObjective, BidirectionalObjectiveSettings

CAPTIONS = ["a small red circle", "a large blue star", "a large red star", "a small red circle"]


class Rows:
    """Rows that are all there but one."""

    length = 5

    def __getitem__(self, row):
        if row == 1:
            raise UnreadableRow("damaged")
        picture = np.full((40, 50, 3), 50 * row, np.uint8)
        return Row((row,), picture, Texts({"text": [f"number {row}", f"{row} by number"]}))


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in CAPTIONS]
    return Pairs(pictures, CAPTIONS, [[caption] for caption in CAPTIONS], 0)


def test_rows_that_cannot_be_read_are_counted_and_left_out():
    pairs = read_pairs(Rows(), (32, 32), most=3)
    assert pairs.captions == ["number 0", "number 2", "number 3"] and pairs.unreadable == 1
    assert pairs.references[0] == ["number 0", "0 by number"]
    assert all(picture.shape == (32, 32, 3) for picture in pairs.pictures)
    with pytest.raises(UserError, match="1 of 1 rows"):
        read_pairs(Rows(), (32, 32), most=1)


def test_candidates_are_the_own_row_and_rows_with_other_captions():
    candidates = draw_candidates(CAPTIONS)
    assert candidates[:, 0].tolist() == [0, 1, 2, 3]
    for row, others in enumerate(candidates[:, 1:].tolist()):
        assert len(set(others)) == len(others) == 2  # two rows share a caption
        assert all(CAPTIONS[other] != CAPTIONS[row] for other in others)
    assert draw_candidates([str(n) for n in range(150)]).shape == (150, 100)


def test_likelihoods_are_those_of_training(pipe, pairs):
    report = measure_pairs(pipe, pairs)
    pixels = torch.stack([to_pixels(picture, pipe.picture_size) for picture in pairs.pictures])
    ids = pipe.tokenizer.encode_to_ids(pixels)
    objective = BidirectionalObjective(
        pipe.transformer, pipe.transformer.config, BidirectionalObjectiveSettings()
    )
    batch = {**encode_captions(pipe, pairs.captions), "image_ids": ids}
    sums = {name: float(s / n) for name, (s, n) in objective.evaluate(batch).items()}
    assert report.image_nats == pytest.approx(sums["text_to_image"], rel=1e-5)
    assert report.caption_nats == pytest.approx(sums["image_to_text"], rel=1e-5)
    error = (pipe.tokenizer.decode_ids(ids) - pixels).square().mean(dim=(1, 2, 3)) / 4
    assert report.reconstruction_psnr == pytest.approx(
        float((-10 * error.log10()).mean()), rel=1e-5
    )
    assert report.codes_used == len(ids.unique()) and report.pairs == 4


def test_a_pair_is_found_where_it_is_the_likeliest(pipe, pairs, monkeypatch):
    wanted = torch.tensor([0.0, -1.0, 1.0, 0.0])

    def encode(pipe, captions):
        return {**encode_captions(pipe, captions), "wanted": wanted}

    where = "pipelines.evaluation.pair_report."
    monkeypatch.setattr(where + "encode_captions", encode)
    monkeypatch.setattr(where + "image_nll", lambda model, batch, config: batch["wanted"][:, None])
    monkeypatch.setattr(
        where + "caption_nll",
        lambda model, batch, config: batch["image_ids"].flatten(1).float().mean(1, keepdim=True),
    )
    report = measure_pairs(pipe, pairs)
    # Whatever the picture, row 1's caption is the likeliest: only row 1 finds its own.
    assert report.caption_found == 0.25
    # Whatever the caption, the picture with the lowest ids is the likeliest, and one row's own.
    assert report.picture_found == 0.25
    monkeypatch.setattr(where + "caption_nll", lambda *given: torch.zeros(12, 1))
    assert measure_pairs(pipe, pairs).picture_found == 0  # equally likely is not found


def test_captions_that_are_all_the_same_are_refused(pipe, pairs):
    same = Pairs(pairs.pictures, ["a red star"] * 4, [["a red star"]] * 4, 0)
    with pytest.raises(UserError, match="all 4 captions are 'a red star'"):
        measure_pairs(pipe, same)


def test_captions_count_as_exact_in_any_column(pipe, pairs, monkeypatch):
    said = ["a small red circle", "a large blue star", "a large star", "a red circle"]
    monkeypatch.setattr(pipe, "caption_images", lambda pictures: said)
    # The text tokenizer writes small letters and single spaces.
    references = [["a star", "A small RED circle"], ["a large  blue star "], ["a"], ["a star"]]
    report = measure_pairs(pipe, Pairs(pairs.pictures, CAPTIONS, references, 3))
    assert report.captions_exact == 0.5 and report.unreadable == 3


def test_a_shown_caption_is_right_where_it_is_one_of_those_given(pipe, pairs, monkeypatch):
    every = Pairs(pairs.pictures, CAPTIONS, [[c, "a large red star"] for c in CAPTIONS], 0)
    monkeypatch.setattr(pipe, "caption_images", lambda images: ["a large red star"] * len(images))
    shown = show_pairs(pipe, every)
    assert [item.prompt for item in shown[:2]] == ["given: a small red circle", CAPTIONS[0]]
    assert {item.caption_right for item in shown} == {True}
    assert {item.shows_prompt for item in shown} == {None}
    monkeypatch.setattr(pipe, "caption_images", lambda images: ["a star"] * len(images))
    assert {item.caption_right for item in show_pairs(pipe, every)} == {None}
