"""The generation losses and a reconstruction that a stand-in judges by squared differences; the
VQGAN's own losses and a discriminator come in tests/pipelines."""

import pytest
import torch

from unified_transformer import (
    BidirectionalObjectiveSettings,
    EndToEndModel,
    EndToEndObjective,
    EndToEndSettings,
    scheduled_sampling,
)
from unified_transformer.losses import as_prompt, caption_nll, image_nll
from unified_transformer.scheduled_sampling import mix_in_own_ids


class Squares:
    """Reconstruction losses without a discriminator."""

    weight = 0.5

    def scale(self, pixels):
        return torch.tensor(1 / sum(map(len, pixels)))

    def terms(self, reconstruction, pixels):
        return (reconstruction - pixels).square().flatten(1).mean(dim=1)

    def turns(self, micro_batches, generate, other_losses, scale, step):
        def losses():
            for index, batch in enumerate(micro_batches):
                output = generate(index)
                found = scale * self.terms(output.reconstruction, batch["pixels"]).sum()
                others = other_losses(index, output)
                yield {**others, "loss": others["loss"] + self.weight * found}

        yield "generator", losses()

    def evaluate(self, reconstruction, pixels):
        return {"reconstruction": self.terms(reconstruction, pixels)}


@pytest.fixture
def pairs(batch):
    generator = torch.Generator().manual_seed(2)
    return {**batch, "pixels": torch.rand(3, 3, 14, 10, generator=generator) * 2 - 1}


@pytest.fixture
def make_objective(model, make_reconstructor):
    def make(**settings):
        whole = EndToEndModel(model, make_reconstructor(model.config)).eval()
        weights = BidirectionalObjectiveSettings(text_to_image_weight=0.7, image_to_text_weight=0.3)
        return EndToEndObjective(
            {"generator": whole}, model.config, weights, EndToEndSettings(**settings), Squares()
        )

    return make


def loss_and_gradients(objective, micro_batches, step=0):
    whole = objective.players["generator"]
    whole.zero_grad()
    total = 0.0
    for player, losses in objective.turns(micro_batches, step):
        assert player == "generator"
        for terms in losses:
            terms["loss"].backward()
            total += terms["loss"].item()
    return total, {name: p.grad.clone() for name, p in whole.named_parameters()}


def test_the_loss_is_the_weighted_sum_of_all_three(model, pairs, make_objective):
    objective = make_objective()
    total, gradients = loss_and_gradients(objective, [pairs])
    image = image_nll(model, pairs, model.config).mean()
    caption = caption_nll(model, pairs, model.config).sum() / (7 + 4 + 2)
    painted = objective._reconstruct(pairs, torch.ones(()))
    reconstruction = (painted.reconstruction - pairs["pixels"]).square().mean()
    expected = 0.7 * image + 0.3 * caption + 0.5 * reconstruction
    assert total == pytest.approx(expected.item(), rel=1e-5)
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())


def test_micro_batches_equal_the_whole_batch(model, pairs, make_objective):
    objective = make_objective(sampled_ids=0.5)
    whole, reference = loss_and_gradients(objective, [pairs])
    rows = [{n: t[part] for n, t in pairs.items()} for part in (slice(0, 1), slice(1, 3))]
    total, gradients = loss_and_gradients(objective, rows)
    assert total == pytest.approx(whole, rel=1e-5)
    for name, gradient in reference.items():
        assert (gradients[name] - gradient).norm() <= 1e-5 * max(gradient.norm(), 1e-3), name


def test_the_validation_loss_is_that_of_training(model, pairs, make_objective):
    objective = make_objective()
    means = {name: float(s / n) for name, (s, n) in objective.evaluate(pairs).items()}
    total, _ = loss_and_gradients(objective, [pairs])
    assert objective.validation_loss(means) == pytest.approx(total, rel=1e-5)


def test_own_ids_are_drawn_anew_every_step_and_by_the_picture_alone(model, pairs, monkeypatch):
    mixed = mix_in_own_ids(model, pairs, model.config, 0.4, step=3)
    share = (mixed != pairs["image_ids"]).float().mean()
    assert 0.25 < share < 0.45  # some draws are the given id
    assert torch.equal(mixed, mix_in_own_ids(model, pairs, model.config, 0.4, step=3))
    assert not torch.equal(mixed, mix_in_own_ids(model, pairs, model.config, 0.4, step=4))
    alone = {name: tensor[1:2] for name, tensor in pairs.items()}
    assert torch.equal(mix_in_own_ids(model, alone, model.config, 0.4, step=3), mixed[1:2])
    # However few pictures fit at once.
    monkeypatch.setattr(scheduled_sampling, "MOST_LOGITS", 1)
    assert torch.equal(mix_in_own_ids(model, pairs, model.config, 0.4, step=3), mixed)
    assert mix_in_own_ids(model, pairs, model.config, 1e-9, 3).equal(pairs["image_ids"])


def test_own_ids_follow_the_models_distribution(make_model, make_batch):
    model = make_model(initializer_range=0.1)
    batch = make_batch(model.config)
    text, length = as_prompt(batch, model.config)
    logits = model(text, length, batch["image_ids"], "text_to_image").image_logits
    expected = logits.softmax(-1).mean(dim=(0, 1))
    counts = torch.zeros(model.config.image_vocab_size)
    for step in range(200):
        drawn = mix_in_own_ids(model, batch, model.config, 0.999, step)
        counts += torch.bincount(drawn.flatten(), minlength=len(counts))
    assert (counts / counts.sum() - expected).abs().max() < 0.005


def test_the_reconstruction_alone_meets_own_ids(model, pairs, make_objective):
    objective = make_objective(sampled_ids=0.9)
    whole = objective.players["generator"]
    prefix = objective._prefix(pairs, 0)
    assert not torch.equal(prefix, pairs["image_ids"])
    ((_, losses),) = objective.turns([pairs], 0)
    (terms,) = losses
    text, length = as_prompt(pairs, model.config)
    painted = whole(text, length, prefix, "text_to_image", reconstruct=True).reconstruction
    reconstruction = (painted - pairs["pixels"]).square().mean()
    image = image_nll(model, pairs, model.config).mean()  # after the picture's own ids
    caption = caption_nll(model, pairs, model.config).sum() / (7 + 4 + 2)
    expected = 0.7 * image + 0.3 * caption + 0.5 * reconstruction
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["text_to_image"].item() == pytest.approx(image.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mapper_size": 0}, "mapper_size"),
        ({"decoder_start": "zero"}, "tokenizer or random"),
        ({"reconstruction_weight": 0.0}, "reconstruction_weight"),
        ({"sampled_ids": 1.0}, "sampled_ids"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        EndToEndSettings(**change)
