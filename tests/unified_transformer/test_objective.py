"""Both losses are means over the target tokens of the global batch."""

import pytest
import torch

from unified_transformer import BidirectionalObjective, BidirectionalObjectiveSettings
from unified_transformer.losses import (
    answer_loss,
    as_caption,
    as_prompt,
    caption_nll,
    image_nll,
    targets,
)


def losses_and_gradients(model, micro_batches, settings=None, all_reduce_sum=lambda x: x):
    settings = settings or BidirectionalObjectiveSettings()
    model.zero_grad()
    objective = BidirectionalObjective(model, model.config, settings, all_reduce_sum)
    total = 0.0
    for player, losses in objective.turns(micro_batches, step=0):
        assert player == "transformer"
        for entry in losses:
            entry["loss"].backward()
            total += entry["loss"].item()
    return total, [p.grad.clone() for p in model.parameters()]


def rows(batch, chosen):
    return {name: tensor[chosen] for name, tensor in batch.items()}


def assert_same_gradients(ours, reference):
    for a, b in zip(ours, reference, strict=True):
        assert (a - b).norm() <= 1e-5 * max(b.norm(), 1e-3)


def test_the_loss_is_the_sum_of_two_means_over_target_tokens(model, batch):
    total, _ = losses_and_gradients(model, [batch])
    image = image_nll(model, batch, model.config).mean()
    caption = caption_nll(model, batch, model.config).sum() / (7 + 4 + 2)
    assert total == pytest.approx((image + caption).item(), rel=1e-5)


def test_weights_scale_the_directions_and_zero_leaves_one_out(model, batch):
    image = image_nll(model, batch, model.config).mean().item()
    settings = BidirectionalObjectiveSettings(text_to_image_weight=0.5, image_to_text_weight=0)
    objective = BidirectionalObjective(model, model.config, settings)
    [(_, losses)] = objective.turns([batch], 0)
    [entry] = losses
    assert entry["loss"].item() == pytest.approx(image / 2, rel=1e-5)
    assert "image_to_text" not in entry


def test_ragged_micro_batches_equal_one_batch(model, batch):
    whole, reference = losses_and_gradients(model, [batch])
    parts = [rows(batch, slice(0, 1)), rows(batch, slice(1, 3))]
    total, gradients = losses_and_gradients(model, parts)
    assert total == pytest.approx(whole, rel=1e-5)
    assert_same_gradients(gradients, reference)


def test_two_processes_equal_one(model, batch):
    """Processes played one after the other: the sums over both are known in advance."""
    whole, reference = losses_and_gradients(model, [batch])
    everyone = torch.tensor([3 * 35, 7 + 4 + 2, 2], dtype=torch.float64)
    results = [
        losses_and_gradients(model, [rows(batch, part)], all_reduce_sum=lambda own: everyone)
        for part in (slice(0, 2), slice(2, 3))
    ]
    assert sum(total for total, _ in results) / 2 == pytest.approx(whole, rel=1e-5)
    mean = [(a + b) / 2 for a, b in zip(results[0][1], results[1][1], strict=True)]
    assert_same_gradients(mean, reference)


def test_a_dropped_caption_is_the_empty_prompt_and_still_a_target(model, batch):
    config = model.config
    dropped = {**batch, "caption_dropped": torch.tensor([False, True, False])}
    ids, length = as_prompt(dropped, config)
    assert ids[1].tolist() == [config.cls_token_id, config.sep_token_id, *[config.pad_token_id] * 6]
    assert length.tolist() == [8, 2, 3]
    assert torch.equal(ids[0], batch["text_ids"][0])
    torch.testing.assert_close(
        caption_nll(model, dropped, config), caption_nll(model, batch, config)
    )
    moved = (image_nll(model, dropped, config) - image_nll(model, batch, config)).abs().amax(1)
    assert moved[1] > 1e-3 and moved[[0, 2]].max() < 1e-5


def test_a_caption_as_target_starts_with_bos_and_leaves_the_batch_alone(model, batch):
    before = batch["text_ids"].clone()
    ids = as_caption(batch, model.config)
    assert (ids[:, 0] == model.config.bos_token_id).all()
    assert torch.equal(ids[:, 1:], before[:, 1:]) and torch.equal(batch["text_ids"], before)


def test_evaluation_drops_no_caption_and_counts_tokens(model, batch):
    objective = BidirectionalObjective(model, model.config, BidirectionalObjectiveSettings())
    result = objective.evaluate({**batch, "caption_dropped": torch.ones(3, dtype=torch.bool)})
    image = image_nll(model, batch, model.config)
    total, count = result["text_to_image"]
    assert count == 105 and total.item() == pytest.approx(image.sum().item(), rel=1e-5)
    assert result["image_to_text"][1] == 7 + 4 + 2


def test_the_validation_loss_is_that_of_training(model, batch):
    """Of one batch, with one weight that is not 1."""
    settings = BidirectionalObjectiveSettings(image_to_text_weight=0.3)
    objective = BidirectionalObjective(model, model.config, settings)
    kept = {**batch, "caption_dropped": torch.zeros(3, dtype=torch.bool)}
    means = {name: float(s / n) for name, (s, n) in objective.evaluate(kept).items()}
    ((_, losses),) = objective.turns([kept], 0)
    total = sum(terms["loss"].item() for terms in losses)
    assert objective.validation_loss(means) == pytest.approx(total, rel=1e-5)


def test_each_direction_goes_backward_by_itself_or_both_together(model, batch):
    parts = [rows(batch, slice(0, 1)), rows(batch, slice(1, 3))]
    gradients = []
    for together, names in (
        (False, [{"text_to_image"}, {"image_to_text"}] * 2),
        (True, [{"text_to_image", "image_to_text"}] * 2),
    ):
        settings = BidirectionalObjectiveSettings(image_to_text_weight=0.5)
        objective = BidirectionalObjective(model, model.config, settings, together=together)
        ((_, losses),) = objective.turns(parts, 0)
        model.zero_grad()
        found = []
        for terms in losses:
            terms["loss"].backward()
            found.append(terms.keys() - {"loss"})
        assert found == names
        gradients.append([p.grad.clone() for p in model.parameters()])
    for apart, both in zip(*gradients, strict=True):
        assert torch.allclose(apart, both, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text_to_image_weight": -1.0}, "text_to_image_weight"),
        ({"text_to_image_weight": 0.0, "image_to_text_weight": 0.0}, "all weights"),
        ({"caption_dropout": 1.0}, "caption_dropout"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        BidirectionalObjectiveSettings(**change)


def with_questions(batch, config):
    """The batch with questions of 3, 5 and 2 tokens and answers of 3, 1 and 0 more than [BOS] and
    [SEP]; of the first row there is no caption, of the last one no question."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(5, config.text_vocab_size, (3, 9), generator=generator)
    asked, said = torch.tensor([3, 5, 2]), torch.tensor([5, 3, 2])
    ids[:, 0] = config.cls_token_id
    for row, question, answer in zip(ids, asked.tolist(), said.tolist(), strict=True):
        row[question - 1] = row[question + answer - 1] = config.sep_token_id
        row[question] = config.bos_token_id
        row[question + answer :] = config.pad_token_id
    return {
        **batch,
        "qa_ids": ids,
        "qa_length": asked + said,
        "question_length": asked,
        "has_caption": torch.tensor([False, True, True]),
        "has_question": torch.tensor([True, True, False]),
    }


ALL_TASKS = BidirectionalObjectiveSettings(question_answering_weight=0.5)


def test_answers_are_targets_and_questions_are_not(model, batch):
    asked = with_questions(batch, model.config)
    nats = answer_loss(model, asked, model.config).nats
    logits = model(
        text_ids=asked["qa_ids"],
        text_length=asked["qa_length"],
        image_ids=asked["image_ids"],
        direction="image_to_text",
        question_length=asked["question_length"],
    ).text_logits.log_softmax(-1)
    expected = -logits.gather(2, asked["qa_ids"][:, 1:, None])[..., 0]
    # [BOS] stands at the question's length and predicts first.
    for row, (first, last) in enumerate([(3, 7), (5, 7)]):
        torch.testing.assert_close(nats[row, first:last], expected[row, first:last])
        assert nats[row, :first].abs().max() == 0 and nats[row, last:].abs().sum() == 0
    assert nats[2].abs().max() == 0
    assert targets(asked, "question_answering").sum() == 4 + 2


def test_each_task_is_the_mean_over_the_rows_that_have_its_text(model, batch):
    asked = with_questions(batch, model.config)
    total, _ = losses_and_gradients(model, [asked], ALL_TASKS)
    image = image_nll(model, batch, model.config)[1:].mean()
    caption = caption_nll(model, batch, model.config)[1:].sum() / (4 + 2)
    answer = answer_loss(model, asked, model.config).nats.sum() / (4 + 2)
    assert total == pytest.approx((image + caption + 0.5 * answer).item(), rel=1e-5)


def test_micro_batches_and_processes_without_a_text_add_nothing(model, batch):
    """A row each: the first has no caption, the last no question."""
    asked = with_questions(batch, model.config)
    whole, reference = losses_and_gradients(model, [asked], ALL_TASKS)
    parts = [rows(asked, slice(n, n + 1)) for n in range(3)]
    total, gradients = losses_and_gradients(model, parts, ALL_TASKS)
    assert total == pytest.approx(whole, rel=1e-5)
    assert_same_gradients(gradients, reference)
    everyone = torch.tensor([2 * 35, 4 + 2, 4 + 2, 3], dtype=torch.float64)
    results = [losses_and_gradients(model, [p], ALL_TASKS, lambda own: everyone) for p in parts]
    assert sum(total for total, _ in results) / 3 == pytest.approx(whole, rel=1e-5)
    mean = [sum(gradients) / 3 for gradients in zip(*(g for _, g in results), strict=True)]
    assert_same_gradients(mean, reference)


def test_questions_can_be_trained_alone(model, batch):
    asked = with_questions(batch, model.config)
    alone = {n: t for n, t in asked.items() if not n.startswith(("text_", "caption_", "has_"))}
    settings = BidirectionalObjectiveSettings(0.0, 0.0, question_answering_weight=1.0)
    objective = BidirectionalObjective(model, model.config, settings)
    [(_, losses)] = objective.turns([alone], 0)
    [entry] = losses
    assert entry.keys() == {"loss", "question_answering"}
    means = {name: float(s / n) for name, (s, n) in objective.evaluate(alone).items()}
    assert means.keys() == {"question_answering"}
    assert objective.validation_loss(means) == pytest.approx(entry["loss"].item(), rel=1e-5)


def test_a_batch_without_any_question_costs_nothing_in_answers(model, batch):
    asked = with_questions(batch, model.config) | {"has_question": torch.zeros(3, dtype=torch.bool)}
    settings = BidirectionalObjectiveSettings(0.0, 0.0, question_answering_weight=1.0)
    model.zero_grad()
    [(_, [entry])] = BidirectionalObjective(model, model.config, settings).turns([asked], 0)
    entry["loss"].backward()
    assert entry["loss"].item() == 0
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(gradient.abs().max() == 0 for gradient in gradients)
