"""The contrastive loss over the global batch; several processes are threads of one test."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
import torch

from gan.terms import row_numbers
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.dual_encoder.model import build_dual_encoder
from pipelines.dual_encoder.objective import (
    ContrastiveObjective,
    ContrastiveObjectiveSettings,
    contrastive_loss,
    found,
)
from vq.global_batch import GlobalBatch

CAPTIONS = ["a red circle", "a blue circle", "a red circle", "a red star", "a star", "blue"]


@pytest.fixture(scope="module")
def codec():
    return TextCodec(train_text_tokenizer(CAPTIONS, TextTokenizerSettings()))


@pytest.fixture(scope="module")
def batch(codec):
    text_ids, text_length = codec.pad([codec.encode_caption(c, 12) for c in CAPTIONS], 12)
    pixels = torch.rand(len(CAPTIONS), 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return {"pixels": pixels, "text_ids": text_ids, "text_length": text_length}


@pytest.fixture(scope="module")
def objective(codec, dual_encoder_shape):
    """Builds one, each time with the same weights."""

    def build(global_batch=None, largest_shift=2):
        torch.manual_seed(0)
        model = build_dual_encoder(replace(dual_encoder_shape, text_positions=12), codec, (16, 16))
        settings = ContrastiveObjectiveSettings(largest_shift)
        global_batch = global_batch or GlobalBatch(lambda tensor: tensor)
        return ContrastiveObjective(model, settings, global_batch, seed=0)

    return build


def step(objective, batch, number=0):
    """The terms of one step, and the gradients."""
    ((_, losses),) = objective.turns([batch], number)
    (terms,) = losses
    objective.model.zero_grad()
    terms["loss"].backward()
    parameters = objective.model.named_parameters()
    return terms, {name: p.grad.clone() for name, p in parameters if p.grad is not None}


def numbers(batch):
    return row_numbers(batch["text_ids"], batch["text_length"])


def rows(batch, chosen):
    return {name: tensor[chosen] for name, tensor in batch.items()}


def test_the_loss_is_the_mean_of_both_directions():
    assert contrastive_loss(torch.zeros(5, 5)).item() == pytest.approx(math.log(5))
    assert contrastive_loss(50 * torch.eye(5)).item() == pytest.approx(0, abs=1e-6)
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    images = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    texts = 2 * math.log(1 + math.exp(-1)) / 2
    assert contrastive_loss(logits).item() == pytest.approx((images + texts) / 2)
    assert found(torch.tensor([[2.0, 0.0], [1.0, 0.5]])) == 0.5


def test_pairs_with_the_same_caption_are_not_each_others_negatives(objective, batch):
    model = objective(largest_shift=0)
    image, text = model.features(batch)
    logits = model._logits(image, text, numbers(batch))
    assert logits.isneginf().nonzero().tolist() == [[0, 2], [2, 0]]
    cosines = image @ text.T
    everywhere = logits.isfinite()
    assert torch.allclose(logits[everywhere], (cosines / 0.07)[everywhere], rtol=1e-3)


def test_cosines_are_not_rounded_under_autocast(objective, batch):
    model = objective()
    image, text = model.features(batch)
    exact = model._logits(image, text, numbers(batch))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model._logits(image, text, numbers(batch)), exact)


def on_processes(count, work):
    """`work(GlobalBatch, rank)` in as many threads."""
    barrier, slots = Barrier(count), [None] * count

    def run(rank):
        def all_reduce_sum(tensor):
            slots[rank] = tensor
            barrier.wait()
            total = sum(slots)
            barrier.wait()
            return total

        return work(GlobalBatch(all_reduce_sum, rank, count), rank)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_compute_what_one_does(objective, batch, count):
    # In evaluation mode: batch normalization sees a process's own pictures while training.
    whole = objective()
    whole.model.eval()
    alone, gradients = step(whole, batch)
    share = len(CAPTIONS) // count
    # Made one after the other: they draw their weights from the same random numbers.
    models = [objective() for _ in range(count)]

    def work(global_batch, rank):
        models[rank].model.eval()
        models[rank].global_batch = global_batch
        part = rows(batch, slice(rank * share, (rank + 1) * share))
        # A process pads its captions to its own longest.
        part["text_ids"] = part["text_ids"][:, : part["text_length"].max()]
        return step(models[rank], part)

    results = on_processes(count, work)
    for terms, _ in results:
        for name, value in terms.items():
            assert value.item() == pytest.approx(alone[name].item(), abs=1e-5), name
    for name, gradient in gradients.items():
        mean = sum(own[name] for _, own in results) / count
        assert torch.allclose(mean, gradient, atol=1e-5), name


def test_shifts_are_those_of_the_step_and_the_picture(objective, batch):
    pixels = batch["pixels"]
    model = objective(largest_shift=2)
    moved = model._shifted(pixels, step=3)
    assert torch.equal(moved, model._shifted(pixels, step=3))
    assert not torch.equal(moved, model._shifted(pixels, step=4))
    wider = torch.nn.functional.pad(pixels, (2, 2, 2, 2), mode="replicate")
    places = []
    for picture, around in zip(moved, wider, strict=True):
        crops = around.unfold(1, 16, 1).unfold(2, 16, 1)
        same = (crops.movedim(0, 2) == picture).flatten(2).all(dim=2)
        places.append(same.nonzero().tolist())
    assert all(len(place) == 1 for place in places)  # one of the 25 places each
    assert len({tuple(place[0]) for place in places}) > 1
    assert torch.equal(objective(largest_shift=0)._shifted(pixels, step=3), pixels)
    second = GlobalBatch(lambda tensor: tensor, rank=1, world_size=2)
    assert torch.equal(objective(second)._shifted(pixels[3:], step=3), moved[3:])


@torch.no_grad()
def test_validation_compares_whole_batches_of_pictures_as_they_are(objective, batch):
    model = objective()
    model.model.eval()
    figures = {name: float(total / n) for name, (total, n) in model.evaluate(batch).items()}
    logits = model._logits(*model.features(batch), numbers(batch))
    assert figures["loss"] == pytest.approx(contrastive_loss(logits).item())
    assert figures["r_precision"] == pytest.approx(found(logits).item())
    assert model.validation_loss(figures) == figures["loss"]


def test_training_brings_pairs_together(objective, batch):
    model = objective(largest_shift=1)
    optimizer = torch.optim.AdamW(model.model.parameters(), lr=3e-3)
    first = step(model, batch)[0]["loss"].item()
    for number in range(100):
        terms, _ = step(model, batch, number)
        optimizer.step()
    assert terms["loss"].item() < 0.5 * first
    assert terms["r_precision"].item() > 0.8
