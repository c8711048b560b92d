"""Which term teaches which player, and what a turn leaves alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan import (
    DiscriminatorHeads,
    DualContrastiveLoss,
    GANObjective,
    GANObjectiveSettings,
    HingeLoss,
    NonSaturatingLoss,
    TextBatch,
)
from gan.adversarial_losses import attribute_discriminator_loss, attribute_generator_loss
from gan.contrastive_losses import info_nce, pair_logits
from gan.terms import Seen, row_numbers, wrong_partners
from gan.text_encoders import interpolated
from tests.gan.conftest import (
    ATTRIBUTES,
    COUNT,
    OneProcess,
    Texts,
    batch,
    discriminator,
    generator,
)

RECIPES = {
    "gan_int_cls": ("dcgan", "dcgan", GANObjectiveSettings(
        adversarial="non_saturating", wrong_pairs_weight=0.5, interpolation_weight=1.0,
    )),
    "xmc_gan": ("attentional", "residual", GANObjectiveSettings(
        sentence_weight=1.0, word_weight=1.0, real_fake_weight=1.0, frozen_real_fake_weight=1.0,
        discriminator_steps=2,
    )),
    "adma_gan": ("deep_fusion", "deep_fusion", GANObjectiveSettings(
        wrong_pairs_weight=0.5, gradient_penalty_weight=2.0, attribute_weight=0.5,
        sentence_weight=0.1, attribute_contrast_weight=0.1, real_fake_weight=0.1,
    )),
    "infomax_gan": ("attentional", "residual", GANObjectiveSettings(local_global_weight=0.2)),
    "dual_contrastive": ("deep_fusion", "deep_fusion", GANObjectiveSettings(
        adversarial="dual_contrastive", wrong_pairs_weight=0.5, interpolation_weight=1.0,
        gradient_penalty_weight=0.5, gradient_penalty="r1",
    )),
}  # fmt: skip


def frozen(pixels: Tensor) -> Tensor:
    return pixels.mean(dim=3).flatten(1)


def objective(
    name: str = "adma_gan", text: bool = True, train_text_encoder: bool = False, **changes
) -> GANObjective:
    drawing, judging, settings = RECIPES[name]
    settings = replace(settings, **changes)
    memory = {"memory": {}} if name == "adma_gan" else {}
    return GANObjective(
        generator(drawing, text=text, **memory),
        discriminator(
            judging,
            text=text,
            heads=DiscriminatorHeads(
                images=settings.sentence_weight + settings.real_fake_weight > 0,
                regions=settings.word_weight > 0,
                places=settings.local_global_weight > 0,
                attributes=ATTRIBUTES if settings.attribute_weight else 0,
            ),
        ),
        settings,
        OneProcess(),
        Texts() if text else None,
        frozen,
        train_text_encoder,
    )


def stirred(game: GANObjective, by: float = 0.1) -> GANObjective:
    """As after some steps: what begins at 0 lets nothing through."""
    with torch.no_grad():
        for parameter in [*game.generator.parameters(), *game.discriminator.parameters()]:
            parameter += by * torch.randn_like(parameter)
    return game


def of_one_text(data: dict[str, Tensor]) -> dict[str, Tensor]:
    """All pictures have the first one's text."""
    ids, length = data["text_ids"], data["text_length"]
    return {
        **data,
        "text_ids": ids[:1].expand_as(ids),
        "text_length": length[:1].expand_as(length),
    }


def drawn(game: GANObjective, seen: Seen, step: int, number: int) -> Tensor:
    noise = game.noise(len(seen.pixels), step, number)
    return game.generator(noise, seen.texts, seen.attributes)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(before: dict[str, Tensor], module: nn.Module) -> bool:
    after = module.state_dict()
    return all(torch.equal(value, after[name]) for name, value in before.items())


def gradients(game: GANObjective) -> dict[str, dict[str, Tensor]]:
    """Of each turn in order, by the names of both players' parameters."""
    found = {}
    for number, (player, losses) in enumerate(game.turns([batch(1)], step=0)):
        for module in game.players.values():
            module.zero_grad()
        next(losses)["loss"].backward()
        found[f"{number} {player}"] = {
            f"{name}.{part}": p.grad.clone()
            for name, module in game.players.items()
            for part, p in module.named_parameters()
            if p.grad is not None
        }
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_a_turn_teaches_its_own_player_alone(name):
    for turn, found in gradients(objective(name)).items():
        assert found and all(part.startswith(turn.split()[1]) for part in found)
        assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.mark.parametrize("name", RECIPES)
def test_the_generators_turn_leaves_the_discriminator_untouched(name):
    game = objective(name)
    *_, (_, losses) = game.turns([batch(1)], step=0)
    before = state(game.discriminator)
    next(losses)["loss"].backward()
    assert same(before, game.discriminator)
    assert game.discriminator.training
    assert all(p.requires_grad and p.grad is None for p in game.discriminator.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_everything_that_can_learn_does(name):
    game, learning = stirred(objective(name), by=0.02), set()
    for found in gradients(game).values():
        learning |= {part for part, gradient in found.items() if (gradient != 0).any()}
    everything = {
        f"{player}.{part}"
        for player, module in game.players.items()
        for part, _ in module.named_parameters()
    }
    # A bias before batch normalization, and what all logits share, is no difference.
    odd = everything - learning
    assert not {part for part in odd if not part.endswith("bias")}, odd


SENTENCES, WORDS = {"sentences", "sentence_accuracy"}, {"words", "word_accuracy"}


@pytest.mark.parametrize(
    ("name", "of_both", "of_discriminator", "of_generator", "penalized"),
    [
        ("gan_int_cls", set(), {"wrong_logit"}, {"interpolated"}, False),
        ("xmc_gan", SENTENCES | WORDS, set(), {"real_fake", "frozen_real_fake"}, False),
        ("adma_gan", SENTENCES | {"attributes", "attribute_contrast"}, {"wrong_logit"},
         {"real_fake"}, True),
        ("infomax_gan", {"local_global"}, set(), set(), False),
        ("dual_contrastive", set(), {"wrong_logit"}, {"interpolated"}, True),
    ],
)  # fmt: skip
def test_turns_of_each_recipe(name, of_both, of_discriminator, of_generator, penalized):
    """And the terms of each."""
    of_both = of_both | {"loss", "adversarial"}
    of_a_batch = [("discriminator", of_both | of_discriminator | {"real_logit", "fake_logit"})]
    if penalized:
        of_a_batch.append(("discriminator", {"loss", "gradient_penalty"}))
    found = []
    for player, losses in objective(name).turns([batch(1), batch(2)], step=0):
        (terms,) = losses
        found.append((player, set(terms)))
    assert found == [*of_a_batch, *of_a_batch, ("generator", of_both | of_generator)]


def test_each_turn_is_of_its_own_batch():
    """The generator's of the last one."""
    data = batch(1), batch(2)

    def terms(*numbers: int) -> list[dict[str, Tensor]]:
        game = objective("gan_int_cls")
        return [next(losses) for _, losses in game.turns([data[n] for n in numbers], step=0)]

    one, mixed, other = terms(0, 0), terms(0, 1), terms(1, 1)
    for turn, (same_as, unlike) in enumerate([(one, other), (other, one), (other, one)]):
        assert mixed[turn]["loss"] == same_as[turn]["loss"] != unlike[turn]["loss"]


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("gan_int_cls", NonSaturatingLoss()),
        ("adma_gan", HingeLoss()),
        ("dual_contrastive", DualContrastiveLoss("minimax")),
    ],
)
def test_adversarial_terms_are_of_pictures_with_their_texts(name, loss):
    """But for wrong pairs: real pictures with the texts of others."""
    weights = {"wrong_pairs_weight": 0.3, "interpolation_weight": 0.5}
    game = stirred(objective(name, generator_side="minimax", **weights))
    seen, judge = game.seen(batch(1)), game.discriminator
    assert seen.texts is not None and seen.attributes is not None
    with torch.no_grad():
        fakes = [drawn(game, seen, step=5, number=number) for number in (0, 1)]
        real, *fooled = (judge(pixels, seen.texts) for pixels in (seen.pixels, *fakes))
        wrong = judge(seen.pixels.roll(-1, dims=0), seen.texts)
        texts, (first, second) = interpolated(seen.texts), seen.attributes.chunk(2)
        between = game.generator(game.noise(COUNT // 2, 5, 2), texts, (first + second) / 2)
        between = judge(between, texts)
    expected = (
        {
            "real_logit": real,
            "fake_logit": fooled[0],
            "wrong_logit": wrong,
            "adversarial": 0.7 * loss.discriminator(real, fooled[0])
            + 0.3 * loss.discriminator(real, wrong),
        },
        {
            "adversarial": loss.generator(fooled[1], real),
            "interpolated": loss.generator(between, real[: len(between)]),
        },
    )
    turns = [next(losses) for _, losses in game.turns([batch(1)], step=5)]
    for terms, values in zip((turns[0], turns[-1]), expected, strict=True):
        for term, value in values.items():
            assert terms[term].item() == pytest.approx(value.mean().item(), rel=1e-4), term


def test_attributes_are_read_off_pictures_of_both_kinds():
    game = stirred(objective())
    seen, judge = game.seen(batch(1)), game.discriminator

    def told(pixels: Tensor) -> Tensor:
        return judge.attribute_logits(judge.features(pixels), seen.texts)

    with torch.no_grad():
        real, *fakes = map(told, (seen.pixels, drawn(game, seen, 0, 0), drawn(game, seen, 0, 1)))
        expected = (
            attribute_discriminator_loss(real, fakes[0], seen.attributes).mean(),
            attribute_generator_loss(fakes[1], seen.attributes).mean(),
        )
    turns = [next(losses) for _, losses in game.turns([batch(1)], step=0)]
    found = turns[0]["attributes"].item(), turns[-1]["attributes"].item()
    assert found == pytest.approx([value.item() for value in expected], rel=1e-4)


def test_penalties_an_interval_apart_count_as_often():
    always, seldom = (
        [
            next(losses).get("gradient_penalty")
            for _, losses in objective("adma_gan", gradient_penalty_interval=interval).turns(
                [batch(1)], step
            )
        ]
        for interval, step in ((1, 8), (4, 8))
    )
    assert len(always) == len(seldom) == 3
    assert seldom[1].item() == pytest.approx(4 * always[1].item()) and always[1] > 0
    between = objective("adma_gan", gradient_penalty_interval=4).turns([batch(1)], 9)
    assert [player for player, _ in between] == ["discriminator", "generator"]
    with pytest.raises(ValueError, match="gradient_penalty_interval is 0; it must be 1 or more"):
        GANObjectiveSettings(gradient_penalty_interval=0)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("adma_gan", {"sentence": 0.2, "attribute": 0.3, "attribute_contrast": 0.4,
                      "real_fake": 0.6}),
        ("xmc_gan", {"sentence": 0.2, "word": 0.3, "frozen_real_fake": 0.4, "real_fake": 0.6}),
        ("infomax_gan", {"local_global": 0.3}),
    ],
)  # fmt: skip
def test_loss_is_the_weighted_sum_of_its_terms(name, weights):
    plural = {"sentence": "sentences", "word": "words", "attribute": "attributes"}
    game = objective(name, **{f"{part}_weight": weight for part, weight in weights.items()})
    for player, losses in game.turns([batch(1)], step=0):
        terms = next(losses)
        if "gradient_penalty" not in terms:
            expected = terms["adversarial"].item()
            for part, weight in weights.items():
                if player == "generator" or not part.endswith("real_fake"):
                    expected += weight * terms[plural.get(part, part)].item()
            assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_what_says_the_same_is_not_told_apart():
    """Of texts the contrasts of sentences, words and pictures; of attributes that of the memory."""
    alike = of_one_text(batch(1))
    for data, told in ((batch(1), True), (alike, False)):
        for player, losses in objective("xmc_gan").turns([data], step=0):
            terms = next(losses)
            names = ["sentences", "words"]
            if player == "generator":
                names += ["real_fake", "frozen_real_fake"]
            assert [bool(terms[name]) for name in names] == [told] * len(names)
    alike["attributes"] = torch.eye(COUNT, ATTRIBUTES).long()
    all_red = {**batch(1), "attributes": torch.eye(ATTRIBUTES).long()[:1].expand(COUNT, -1)}
    for data, by_text in ((alike, False), (all_red, True)):
        for _, losses in objective().turns([data], step=0):
            if "sentences" in (terms := next(losses)):
                assert bool(terms["sentences"]) == by_text
                assert bool(terms["attribute_contrast"]) == (not by_text)


def test_contrasts_are_of_a_picture_with_its_own():
    """Attributes in the memory, and the real picture that a fake stands for."""
    data = {**batch(1), "attributes": torch.eye(COUNT, ATTRIBUTES).long()}
    with torch.no_grad():
        game = stirred(objective())
        vectors = game.discriminator.image_vectors(game.discriminator.features(data["pixels"]))
        held = game.generator.remembered(data["attributes"])
        (_, losses), *_ = game.turns([data], step=0)
        expected = info_nce(pair_logits(vectors, held)).mean().item()
        assert next(losses)["attribute_contrast"].item() == pytest.approx(expected)
        game = stirred(objective("xmc_gan"))
        fake = drawn(game, game.seen(data), step=0, number=1)
        *_, (_, losses) = game.turns([data], step=0)
        expected = info_nce(pair_logits(frozen(fake), frozen(data["pixels"]))).mean().item()
        assert next(losses)["frozen_real_fake"].item() == pytest.approx(expected)


def test_the_memory_learns_by_its_contrast_in_the_generators_turn():
    """At first pictures do not depend on it, so that nothing else teaches it."""
    for weight in (0.0, 0.1):
        (*_, found) = gradients(objective(attribute_contrast_weight=weight)).values()
        gradient = found["generator.network.memory.vectors"]
        assert (gradient != 0).any() == (weight > 0)


@pytest.mark.parametrize(
    ("name", "of_text", "weight", "power"),
    [("adma_gan", True, 2, 6), ("dual_contrastive", False, 0.5, 2)],
)
def test_the_penalty_is_of_real_pictures_with_their_own_texts(name, of_text, weight, power):
    """Whatever is drawn, and whichever texts are wrong."""
    game = stirred(objective(name))
    seen, expected = game.seen(batch(1)), []
    assert seen.texts is not None
    for pixels, sentence in zip(seen.pixels, seen.texts.sentence, strict=True):
        inputs = [pixels[None].requires_grad_(), F.normalize(sentence[None]).requires_grad_()]
        text = TextBatch(seen.texts.words[:1], seen.texts.mask[:1], inputs[1])
        logit = game.discriminator(inputs[0], text).sum()
        parts = torch.autograd.grad(logit, inputs if of_text else inputs[:1])
        norm = sum(float(part.square().sum()) for part in parts) ** 0.5
        expected.append(weight * norm**power)
    for _ in range(2):
        turns = game.turns([batch(1)], step=0)
        next(turns)
        penalty = next(next(turns)[1])["gradient_penalty"].item()
        assert penalty == pytest.approx(sum(expected) / COUNT, rel=1e-4) and penalty > 1e-3
        for parameter in game.generator.parameters():
            torch.nn.init.normal_(parameter)


def first_discriminator_loss(game: GANObjective, data: dict[str, Tensor]) -> float:
    return next(next(game.turns([data], step=0))[1])["loss"].item()


def test_wrong_pairs_count_where_they_have_a_weight():
    def losses_of(data: dict[str, Tensor]) -> list[float]:
        return [
            first_discriminator_loss(objective("gan_int_cls", wrong_pairs_weight=weight), data)
            for weight in (0.0, 0.3, 0.5)
        ]

    without, some, half = losses_of(batch(1))
    assert without != pytest.approx(half)
    assert some == pytest.approx(0.4 * without + 0.6 * half)
    without, some, half = losses_of(of_one_text(batch(1)))  # so no pair is wrong
    assert without == pytest.approx(some) == pytest.approx(half)


def discriminator_after_its_turn(game: GANObjective) -> dict[str, Tensor]:
    player, losses = next(game.turns([batch(1)], step=0))
    optimizer = torch.optim.Adam(game.players[player].parameters())
    next(losses)["loss"].backward()
    optimizer.step()
    return state(game.discriminator)


def test_interpolated_texts_are_the_generators_alone():
    some, off = {"interpolation_weight": 0.5}, {"interpolation_weight": 0.0}
    with_them, without = (
        [next(losses) for _, losses in objective("gan_int_cls", **options).turns([batch(1)], 0)]
        for options in (some, off)
    )
    assert torch.equal(with_them[0]["loss"], without[0]["loss"])
    stepped = discriminator_after_its_turn(objective("gan_int_cls", **some))
    other = discriminator_after_its_turn(objective("gan_int_cls", **off))
    assert all(torch.equal(value, other[name]) for name, value in stepped.items())
    # Half as many pictures, of half the weight.
    between = (with_them[1]["adversarial"] * 4 + with_them[1]["interpolated"]) / 5
    assert with_them[1]["loss"].item() == pytest.approx(between.item())
    assert without[1]["loss"].item() == pytest.approx(with_them[1]["adversarial"].item())


@pytest.mark.parametrize("architecture", ["residual", "deep_fusion"])
def test_without_its_weight_a_contrast_changes_nothing(architecture):
    """Not even where the discriminator has heads for it."""
    every_head = DiscriminatorHeads(images=True, regions=True, places=True)
    plain, with_heads = (
        GANObjective(
            generator("attentional"),
            discriminator(architecture, heads=heads),
            GANObjectiveSettings(),
            OneProcess(),
            Texts(),
        )
        for heads in (DiscriminatorHeads(), every_head)
    )
    parts = [len(list(game.discriminator.parameters())) for game in (plain, with_heads)]
    assert parts[0] < parts[1]
    terms = [
        [set(next(losses)) for _, losses in game.turns([batch(1)], step=0)]
        for game in (plain, with_heads)
    ]
    assert terms[0] == terms[1]
    expected, found = gradients(plain), gradients(with_heads)
    for turn, of_parts in expected.items():
        assert found[turn].keys() == of_parts.keys()
        assert all(torch.equal(found[turn][part], one) for part, one in of_parts.items())


def test_real_pictures_teach_the_discriminators_encoders():
    """Its contrasts do not depend on what the generator draws."""
    games = [objective("xmc_gan") for _ in range(2)]
    with torch.no_grad():
        for parameter in games[1].generator.parameters():
            parameter.normal_()
    first, second = (
        [next(losses) for _, losses in game.turns([batch(1)], step=0)] for game in games
    )
    for name in ("sentences", "words"):
        assert torch.equal(first[0][name], second[0][name])
        assert not torch.equal(first[1][name], second[1][name])  # the generator's turn
    assert not torch.equal(first[0]["adversarial"], second[0]["adversarial"])


@pytest.mark.parametrize("train", [False, True])
def test_text_encoder_learns_in_the_discriminators_turn(train):
    game = objective("gan_int_cls", train_text_encoder=train)
    found = gradients(game)
    name = "discriminator.text_encoder.table.weight"
    assert (name in found["0 discriminator"]) == train
    assert name not in found["1 generator"]
    assert game.text_encoder.table.weight.grad is None


def test_the_generator_draws_of_what_the_text_encoder_has_learned():
    def loss(learned: str) -> Tensor:
        game = objective("gan_int_cls", train_text_encoder=True)
        turns = game.turns([batch(1)], step=0)
        for moment in ("before", "after"):
            if learned == moment:
                game.text_encoder.table.weight.data.neg_()
            _, losses = next(turns)
        return next(losses)["loss"]

    assert loss("before") == loss("after") != loss("never")


@pytest.mark.parametrize("name", ["infomax_gan", "dual_contrastive"])
def test_without_text(name):
    settings = {"wrong_pairs_weight": 0.0, "interpolation_weight": 0.0}
    game = objective(name, text=False, **settings)
    for turn, found in gradients(game).items():
        player = turn.split()[1]
        parts = {f"{player}.{part}" for part, _ in game.players[player].named_parameters()}
        assert found.keys() == parts


def test_noise_belongs_to_a_picture_whoever_draws_it():
    game = objective()
    whole = game.noise(4, step=3, number=1)
    game.processes = OneProcess()
    game.processes.world_size = 2
    halves = []
    for rank in (0, 1):
        game.processes.rank = rank
        halves.append(game.noise(2, step=3, number=1))
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(game.noise(2, 4, 1), halves[1])


def test_no_noise_is_drawn_twice():
    """In the turns of two steps, and with another seed."""
    game, seen = objective("gan_int_cls"), []
    game.generator.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for game.seed in (0, 1):
        for step in (0, 1):
            for _, losses in game.turns([batch(1), batch(2)], step):
                next(losses)
    firsts = {tuple(noise[0].tolist()) for noise in seen}
    assert len(firsts) == len(seen) == 2 * 2 * 4  # two of each step are the generator's turn


def test_texts_have_numbers_of_their_own():
    ids = torch.tensor([[2, 7, 3, 0], [2, 7, 3, 9], [2, 7, 8, 3], [2, 8, 7, 3]])
    numbers = row_numbers(ids, torch.tensor([3, 3, 4, 4])).tolist()
    assert numbers[0] == numbers[1] and len(set(numbers)) == 3
    longer = torch.cat([ids, torch.zeros(4, 5, dtype=torch.long)], dim=1)
    assert row_numbers(longer, torch.tensor([3, 3, 4, 4])).tolist() == numbers


def test_captions_of_few_words_have_numbers_of_their_own():
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 33, (4000, 9), generator=random).unique(dim=0)
    numbers = row_numbers(ids, torch.full((len(ids),), 9))
    assert len(numbers.unique()) == len(ids)
    swapped = ids[:, [1, 0, *range(2, 9)]]
    differs = ids[:, 0] != ids[:, 1]
    assert (row_numbers(swapped, torch.full((len(ids),), 9)) != numbers)[differs].all()


def test_logits_are_not_rounded_under_autocast():
    for name in ("dcgan", "residual", "deep_fusion"):
        judge, said = discriminator(name), Texts()(batch()["text_ids"], batch()["text_length"])
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(1000 * batch()["pixels"], said)
        assert logits.dtype == torch.float32
        assert not torch.equal(logits, logits.bfloat16().float())


def test_wrong_partners_say_something_else():
    partner, there = wrong_partners(torch.tensor([5, 5, 6, 5]))
    assert partner.tolist() == [2, 2, 3, 2] and there.all()
    assert not wrong_partners(torch.tensor([5, 5]))[1].any()


def test_validation_figures():
    game, data = stirred(objective()), batch(1)
    figures, seen = game.evaluate(data), game.seen(data)
    with torch.no_grad():
        expected = {
            "real_logit": game.discriminator(seen.pixels, seen.texts),
            "fake_logit": game.discriminator(drawn(game, seen, step=0, number=0), seen.texts),
            "wrong_logit": game.discriminator(seen.pixels.roll(-1, dims=0), seen.texts),
        }
    assert figures.keys() == expected.keys()
    for name, (total, count) in figures.items():
        assert total.item() == pytest.approx(expected[name].sum().item()) and count == COUNT
    means = {name: float(total / count) for name, (total, count) in figures.items()}
    assert len({round(mean, 3) for mean in means.values()}) == 3
    assert game.validation_loss(means) == -means["fake_logit"]


def test_validation_figures_of_what_there_is():
    """No pairs are wrong where all texts are the same or there are none, and of a single picture
    there is nothing, which a network with batch normalization could not draw."""
    alike = of_one_text(batch(1))
    assert objective().evaluate(alike)["wrong_logit"] == (0, 0)
    assert objective("infomax_gan", text=False).evaluate(alike).keys() == {
        "real_logit",
        "fake_logit",
    }
    assert objective("gan_int_cls").evaluate(batch(1, count=1)) == {}
