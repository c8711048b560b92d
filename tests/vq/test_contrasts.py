"""Contrasts in the game of reconstruction: who learns from what, and that they are the same over
micro-batches' processes; with `gan`'s, as assembly gives them."""

import math
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

from gan import (
    ContrastingDiscriminator,
    ContrastSettings,
    PaintingContrasts,
    TextBatch,
    adversarial_loss,
)
from tests.vq.test_objective import (
    ADVERSARIAL,
    assert_same_gradients,
    deal,
    make_objective,
    optimizers,
    pictures,
    take_step,
)
from vq import GlobalBatch, VQGANObjective, VQGANObjectiveSettings

WIDTH = 6
EACH = {
    "sentence": {"sentence_weight": 1.0},
    "word": {"word_weight": 1.0},
    "local_global": {"local_global_weight": 0.2},
    "real_fake": {"real_fake_weight": 0.5},
}
ALL = {name: weight for one in EACH.values() for name, weight in one.items()}


class Texts(nn.Module):
    """A table of vectors that does not learn."""

    width = WIDTH

    def __init__(self) -> None:
        super().__init__()
        table = torch.randn(20, WIDTH, generator=torch.Generator().manual_seed(5))
        self.table = nn.Embedding.from_pretrained(table)

    def forward(self, text_ids, text_length):
        words = self.table(text_ids)
        mask = torch.arange(text_ids.shape[1])[None] < text_length[:, None]
        sentence = (words * mask[..., None]).sum(dim=1) / text_length[:, None]
        return TextBatch(words, mask, sentence)


def with_texts(micro_batches):
    """Texts of one to five ids, that depend on the picture alone."""
    for batch in micro_batches:
        told = [int(1000 * picture.abs().mean()) for picture in batch["pixels"]]
        ids = torch.tensor([[(one * (n + 3) + n) % 20 for n in range(5)] for one in told])
        batch["encoder_text_ids"] = ids
        batch["encoder_text_length"] = torch.tensor([1 + one % 5 for one in told])
    return micro_batches


def contrasting(weights: dict, global_batch: GlobalBatch | None = None, **settings):
    """`make_objective` with contrasts of these weights, over the processes of a global batch."""
    plain = make_objective({}, **settings)
    everyone = global_batch or GlobalBatch(lambda tensor: tensor)
    contrasts = ContrastSettings(**weights)
    discriminator = make_objective(adversarial_weight=1.0).players["discriminator"]
    torch.manual_seed(1)
    return VQGANObjective(
        plain.tokenizer,
        VQGANObjectiveSettings(**settings),
        ContrastingDiscriminator(discriminator, contrasts, WIDTH),
        None,
        adversarial_loss(settings.get("adversarial_loss", "hinge")),
        everyone.all_reduce_sum,
        everyone.rank,
        everyone.world_size,
        PaintingContrasts(contrasts, everyone, Texts() if contrasts.of_texts else None),
    )


@pytest.mark.parametrize("name", EACH)
def test_each_term_teaches_its_player(name):
    objective = contrasting(EACH[name], **ADVERSARIAL)
    names = {"sentence": "sentences", "word": "words"}
    term, seen = names.get(name, name), {}
    for player, losses in objective.turns(with_texts(deal(pictures(), [3, 3])), 0):
        for module in objective.players.values():
            module.zero_grad()
        for terms in losses:
            terms["loss"].backward()
        seen[player] = terms
        for other, module in objective.players.items():
            learns = [p.grad is not None for p in module.parameters()]
            assert any(learns) == (other == player)
            # The codes are not among what learns: they are statistics.
            assert all(learns) or other != player
    assert term in seen["generator"] and seen["generator"]["contrasts"].abs() > 0
    assert (term in seen["discriminator"]) == (name != "real_fake")


def test_the_generators_turn_leaves_the_discriminator_as_it_is():
    objective = contrasting(ALL, **ADVERSARIAL)
    discriminator = objective.players["discriminator"]
    for player, losses in objective.turns(with_texts(deal(pictures(), [3, 3])), 0):
        before = {name: value.clone() for name, value in discriminator.state_dict().items()}
        for terms in losses:
            terms["loss"].backward()
        moved = [n for n, v in discriminator.state_dict().items() if not torch.equal(v, before[n])]
        # In its own turn those of spectral normalization follow the weights.
        assert bool(moved) == (player == "discriminator")
        assert all("parametrizations" in name for name in moved)
        assert discriminator.training


def test_contrasts_teach_the_discriminator_by_given_pictures_alone():
    """What the generator paints has no part in them."""
    found = []
    for scale in (1.0, 3.0):
        objective = contrasting(ALL, **ADVERSARIAL)
        with torch.no_grad():
            objective.tokenizer.decoder.last_layer.mul_(scale)
        _, losses = next(objective.turns(with_texts(deal(pictures(), [6])), 0))
        (terms,) = losses
        found.append(terms)
    for name in ("sentences", "words", "local_global"):
        assert torch.equal(found[0][name], found[1][name])
    assert found[0]["fake_logit"] != found[1]["fake_logit"]


def test_without_an_adversarial_term_nothing_is_painted_in_the_discriminators_turn():
    objective = contrasting(EACH["local_global"])
    objective.codebook.start([objective.tokenizer.encode(pictures())], [pictures()])
    passes = []
    objective.tokenizer.register_forward_hook(lambda *_: passes.append(1))
    turns = objective.turns(deal(pictures(), [3, 3]), 0)
    player, losses = next(turns)
    assert player == "discriminator" and len(list(losses)) == 2 and not passes
    player, losses = next(turns)
    (first, second) = losses
    assert player == "generator" and "adaptive_weight" not in first | second


def test_contrasts_begin_with_the_discriminator_and_grow_with_its_term():
    settings = {"adversarial_start_step": 2, "adversarial_warmup_steps": 4}
    objective = contrasting(EACH["local_global"], **settings)
    steppers, seen = optimizers(objective), []
    for step in range(4):
        sums = take_step(objective, steppers, deal(pictures(), [6]), step)
        assert ("discriminator/loss" in sums) == (step >= 2)
        seen.append(sums)
    for sums, share in zip(seen[2:], (0.25, 0.5), strict=True):
        loss = sums["generator/reconstruction"] + 0.25 * sums["generator/commitment"]
        assert sums["generator/contrasts"] == pytest.approx(0.2 * sums["generator/local_global"])
        expected = loss + share * sums["generator/contrasts"]
        assert sums["generator/loss"] == pytest.approx(expected, rel=1e-5)


def test_the_adaptive_weight_does_not_know_of_contrasts():
    plain, contrasted = make_objective(**ADVERSARIAL), contrasting(ALL, **ADVERSARIAL)
    terms = {}
    for objective in (plain, contrasted):
        turns = objective.turns(with_texts(deal(pictures(), [3, 3])), 0)
        list(next(turns)[1])
        terms[objective] = list(next(turns)[1])
    for one, other in zip(terms[plain], terms[contrasted], strict=True):
        for name in ("adaptive_weight", "adversarial", "reconstruction"):
            assert torch.equal(one[name], other[name]), name
        assert torch.allclose(one["loss"] + other["contrasts"], other["loss"], rtol=1e-6)


def test_gradients_are_those_of_the_whole_loss():
    """Against plain automatic differentiation."""
    objective = contrasting(ALL, **ADVERSARIAL)
    (batch,) = with_texts(deal(pictures(), [6]))
    turns = objective.turns([batch], 0)
    list(next(turns)[1])  # the discriminator's, not stepped
    (terms,) = next(turns)[1]
    terms["loss"].backward()
    found = {name: p.grad.clone() for name, p in objective.tokenizer.named_parameters()}

    tokenizer, discriminator = objective.tokenizer, objective.players["discriminator"].eval()
    contrasts, pixels = objective.game.judge.contrasts, batch["pixels"]
    output = tokenizer(pixels)
    logits, seen = discriminator(output.reconstruction)
    with torch.no_grad():
        _, real = discriminator(pixels)
    of_painted = contrasts.of_painted(seen, real, contrasts.read(batch))
    wanted = sum(weight * values.mean() for weight, values in of_painted.values())
    loss = objective.game.terms(output.reconstruction, pixels)["reconstruction"].mean()
    loss = loss + 0.25 * output.quantized.losses["commitment"].mean() + wanted
    loss = loss - 0.7 * terms["adaptive_weight"] * logits.mean()
    assert terms["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    tokenizer.zero_grad()
    loss.backward()
    assert_same_gradients(found, {name: p.grad for name, p in tokenizer.named_parameters()})


def test_contrasts_need_a_discriminator():
    tokenizer, contrasts = make_objective().tokenizer, contrasting(ALL).game.judge.contrasts
    with pytest.raises(ValueError, match="there are contrasts but no discriminator"):
        VQGANObjective(tokenizer, VQGANObjectiveSettings(), contrasts=contrasts)


def test_local_global_loss_of_given_pictures_falls():
    """Below what knowing nothing costs, of pictures whose places have a colour in common."""
    objective, losses = contrasting(EACH["local_global"]), []
    steppers = {
        name: torch.optim.Adam(player.parameters(), 3e-3, (0.5, 0.9))
        for name, player in objective.players.items()
    }
    for step in range(60):
        pixels = 0.3 * pictures(8, seed=step) + 0.7 * pictures(8, seed=step)[..., :1, :1]
        sums = take_step(objective, steppers, deal(pixels, [8]), step)
        losses.append(sums["discriminator/local_global"])
    chance = math.log(1 + 7 * 7 * 7)
    assert losses[0] > chance > sum(losses[-10:]) / 10 + 0.2


def test_bf16_autocast():
    objective = contrasting(ALL, **ADVERSARIAL)
    for player, losses in objective.turns(with_texts(deal(pictures(), [3, 3])), 0):
        objective.players[player].zero_grad()
        while True:
            with torch.autocast("cpu", torch.bfloat16):
                terms = next(losses, None)
            if terms is None:
                break
            terms["loss"].backward()
        for name, parameter in objective.players[player].named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def all_gradients(objective, micro_batches):
    """Of both players; zeros where nothing is asked of a part."""
    found = {}
    for player, losses in objective.turns(micro_batches, 0):
        for terms in losses:
            terms["loss"].backward()
        for name, parameter in objective.players[player].named_parameters():
            grad = parameter.grad
            found[f"{player}.{name}"] = torch.zeros_like(parameter) if grad is None else grad
            parameter.grad = None
    return found


def on_processes(count, work):
    """`work(GlobalBatch)` in as many threads."""
    barrier, slots = Barrier(count), [None] * count

    def run(rank):
        def all_reduce_sum(tensor):
            slots[rank] = tensor
            barrier.wait()
            total = sum(slots)
            barrier.wait()
            return total

        return work(GlobalBatch(all_reduce_sum, rank, count))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize(
    "settings",
    [{}, ADVERSARIAL, {**ADVERSARIAL, "adversarial_loss": "dual_contrastive"}],
    ids=["alone", "hinge", "dual"],
)
def test_two_processes_compute_what_one_does(settings):
    """A micro-batch is that of both processes, who have unequal parts of it."""
    pixels = pictures(7)
    whole = with_texts(deal(pixels, [4, 3]))
    expected = all_gradients(contrasting(ALL, **settings), whole)
    shares = [(0, 1, 2), (4,)], [(3,), (5, 6)]
    # Made one after the other: they draw their weights from the same random numbers.
    everyone = [GlobalBatch(lambda tensor: tensor, rank, 2) for rank in range(2)]
    made = [contrasting(ALL, one, **settings) for one in everyone]

    def work(global_batch):
        objective, rank = made[global_batch.rank], global_batch.rank
        for one in (everyone[rank], objective.global_batch):
            one.all_reduce_sum = global_batch.all_reduce_sum
        micro_batches = [{"pixels": pixels[list(rows)]} for rows in shares[rank]]
        for batch in with_texts(micro_batches):  # each process pads its texts by itself
            longest = int(batch["encoder_text_length"].max())
            batch["encoder_text_ids"] = batch["encoder_text_ids"][:, :longest]
        found = all_gradients(objective, micro_batches)
        return {name: global_batch.all_reduce_sum(one) / 2 for name, one in found.items()}

    for found in on_processes(2, work):
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            # That of a bias may be nothing but rounding; temperatures make it larger.
            far = 1e-4 * gradient.norm() + 1e-6
            assert (found[name] - gradient).norm() <= far, name
