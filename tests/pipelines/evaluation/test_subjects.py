"""Checkpoints and tokenizers, measured in all that they do."""

import numpy as np
import pytest
import torch

from pipelines import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.sources import QuestionAnswer
from pipelines.data.transforms import arrays_to_pixels
from pipelines.evaluation.rows import Block
from pipelines.evaluation.subjects import CheckpointSubject, TokenizerSubject, longest_that_fits


def block_of(captions, questions=None):
    rng = np.random.default_rng(0)
    count = len(captions)
    pictures = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in captions]
    places, asked = list(range(count)), questions or [[]] * count
    return Block(0, places, places, pictures, [[one] for one in captions], asked, [""] * count)


def test_a_tokenizer_reconstructs(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    block = block_of(["a large red star"] * 3)
    made = TokenizerSubject(pipe.tokenizer).make(block)
    again = pipe.tokenizer(arrays_to_pixels(np.stack(block.pictures))).reconstruction
    torch.testing.assert_close(made.reconstructed.pixels, again.clamp(-1, 1), atol=1e-4, rtol=1e-4)
    assert made.drawn is made.said is made.answers is None


def test_a_checkpoint_does_what_it_was_trained_for(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    captions = ["a small red circle", "a large star " * 20]
    block = block_of(captions)
    subject = CheckpointSubject(pipe, rerank=1)
    made = subject.make(block)
    assert made.said == pipe.caption_images(block.pictures) and made.answers is None
    # What is too long is cut to be drawn, and measured against all of it.
    assert made.prompts == captions
    cut = [longest_that_fits(caption, subject.prompt_fits) for caption in captions]
    assert cut[0] == captions[0] and captions[1].startswith(cut[1])
    again = pipe.generate_images(cut, seed=[0, 1])
    assert all(
        np.array_equal(a, b)
        for a, b in zip(map(np.asarray, made.drawn), map(np.asarray, again), strict=True)
    )


@pytest.mark.parametrize("narrowed", [False, True])
def test_what_is_not_a_task_is_neither_made_nor_rated(checkpoint, narrowed):
    """Of a checkpoint that draws alone, and of one of which drawing alone is measured."""
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    if not narrowed:
        pipe = BidirectionalPipeline(
            pipe.tokenizer, pipe.codec, pipe.transformer, tasks=("text_to_image",)
        )
    made = CheckpointSubject(pipe, ["text_to_image"] if narrowed else None, rerank=1).make(
        block_of(["a small red circle", "a large star"])
    )
    assert made.said is made.fits is made.answers is None and len(made.drawn) == 2
    assert made.likelihoods.image is not None and made.likelihoods.caption is None


def test_a_task_that_it_was_not_trained_for_is_refused(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    with pytest.raises(UserError, match="was not trained for question_answering"):
        CheckpointSubject(pipe, ["question_answering"])


def test_texts_are_cut_to_the_longest_beginning_that_fits(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    subject = CheckpointSubject(pipe)
    long = "a large red circle above " * 30
    for text in (long, "字" * 300, "a ж ю " * 60):  # the latter two are unknown
        for fits, positions in (
            (subject.prompt_fits, subject.positions),
            (subject.question_fits, subject.positions - 2),
        ):
            cut = longest_that_fits(text, fits)
            assert text.startswith(cut) and cut and fits(cut)
            assert not fits(text[: len(cut) + 8])
            assert len(pipe.codec.encode_caption(cut, 1000).ids) <= positions
    assert longest_that_fits("a red star", subject.prompt_fits) == "a red star"


def test_questions_that_are_too_long_are_cut_and_answered(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    asking = BidirectionalPipeline(
        pipe.tokenizer, pipe.codec, pipe.transformer, tasks=("question_answering",)
    )
    long = "what colour is the large circle " * 10
    block = block_of(["", ""], [[QuestionAnswer(long, "red"), QuestionAnswer("what?", "red")], []])
    made = CheckpointSubject(asking).make(block)
    assert [len(answers) for answers in made.answers] == [2, 0]
    assert made.drawn is made.said is made.likelihoods is None


def test_every_candidate_of_every_row_has_a_seed_of_its_own(checkpoint):
    pipe = BidirectionalPipeline.from_pretrained(checkpoint)
    block = block_of(["a large red star"] * 3)
    assert CheckpointSubject(pipe, rerank=4).seeds(block) == [0, 4, 8]
