"""Pictures on the way: they change no picture, and end in it."""

import numpy as np
import pytest
import torch

from pipelines import BidirectionalPipeline, drawing
from pipelines.data.transforms import to_image
from pipelines.sketches import UNKNOWN, Sketch, paint_sketch

PROMPTS = ["a small red circle", "a large blue star above a small red circle"]


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return BidirectionalPipeline.from_pretrained(checkpoint)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("options", [{}, {"rerank": 3}, {"guidance_scale": 2.0, "window": 3}])
def test_watching_changes_no_picture(pipe, options, monkeypatch):
    monkeypatch.setattr(drawing, "PICTURES_AT_ONCE", 4)  # candidates are drawn in parts
    seen = []
    watched = pipe.generate_images(PROMPTS[:1], 2, seed=5, watch=seen.append, **options)
    assert same(watched, pipe.generate_images(PROMPTS[:1], 2, seed=5, **options))
    shares = [sketch.share for sketch in seen]
    assert shares == sorted(shares) and shares[0] < 0.5 and shares[-1] == 1
    last = seen[-1]
    assert last.ids.shape == (2, 4, 4) and last.known.tolist() == [16] * 2
    assert seen[0].known.max() < 16  # and is not written over
    for sketch in seen:
        for ids, known, final in zip(sketch.ids, sketch.known, last.ids, strict=True):
            assert torch.equal(ids.flatten()[:known], final.flatten()[:known])


def test_a_sketch_is_of_the_first_candidate_of_each_picture(pipe):
    seen = []
    pipe.generate_images(PROMPTS[:1], 2, seed=5, rerank=3, watch=seen.append)
    candidates = pipe.generate_images(PROMPTS[:1], 6, seed=5)
    assert same(paint_sketch(seen[-1], pipe.tokenizer), candidates[::3])


def test_kept_rows_are_known_from_the_start(pipe):
    picture = pipe.generate_images(PROMPTS[1:], seed=9)[0]
    seen = []
    pipe.generate_images(PROMPTS[:1], complete=picture, keep_rows=3, watch=seen.append)
    assert seen[0].known.tolist() > [12]
    assert torch.equal(seen[0].ids[0, :3], pipe.encode_images([picture])[0, :3])


def test_what_is_not_known_is_grey(pipe):
    ids = torch.randint(32, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    half, whole = paint_sketch(Sketch(ids, torch.tensor([6, 16]), 0.7), pipe.tokenizer)
    first, second = (np.asarray(to_image(pixels)) for pixels in pipe.tokenizer.decode_ids(ids))
    grey = round((UNKNOWN + 1) * 127.5)
    assert np.array_equal(whole, second)
    half = np.asarray(half)
    assert np.array_equal(half[:8], first[:8])  # eight pixels to an id
    assert np.array_equal(half[8:16, :16], first[8:16, :16])
    assert (half[8:16, 16:] == grey).all() and (half[16:] == grey).all()


def test_a_watcher_can_stop_the_drawing(pipe):
    passes = []

    def watch(sketch):
        passes.append(sketch)
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        pipe.generate_images(PROMPTS, watch=watch)
    assert len(passes) == 1
