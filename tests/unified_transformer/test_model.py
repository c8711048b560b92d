"""The whole model: nothing sees its future, both implementations agree, checkpoints are exact."""

import pytest
import torch

from unified_transformer import TransformerShape, UnifiedTransformer
from unified_transformer.losses import as_caption, caption_loss, image_loss


def logits(model, batch, direction):
    text = batch["text_ids"] if direction == "text_to_image" else as_caption(batch, model.config)
    output = model(text, batch["text_length"], batch["image_ids"], direction)
    return output.image_logits if direction == "text_to_image" else output.text_logits


@pytest.mark.parametrize("patterns", [None, ["row"], ["column"], ["conv"], ["dense"]])
def test_no_image_target_sees_itself_or_a_later_one(make_model, make_batch, patterns):
    model = make_model(layer_patterns=patterns, grid_height=4, grid_width=4)
    batch = make_batch(model.config)
    before = logits(model, batch, "text_to_image")
    for index in range(16):
        changed = {**batch, "image_ids": batch["image_ids"].clone()}
        flat = changed["image_ids"].view(3, -1)
        flat[:, index] = (flat[:, index] + 1) % model.config.image_vocab_size
        moved = (logits(model, changed, "text_to_image") - before).abs().amax(dim=(0, 2)) > 1e-6
        # entry k predicts z at raster index k: those up to `index` must stay
        assert not moved[: index + 1].any()
        assert index == 15 or moved[index + 1], "the next prediction should use the changed id"


def test_no_caption_target_sees_itself_or_a_later_one(model, make_batch):
    batch = make_batch(model.config, lengths=(8, 8))
    before = logits(model, batch, "image_to_text")
    for position in range(1, 8):
        changed = {**batch, "text_ids": batch["text_ids"].clone()}
        changed["text_ids"][:, position] = 7 + (batch["text_ids"][:, position] == 7).long()
        moved = (logits(model, changed, "image_to_text") - before).abs().amax(dim=(0, 2)) > 1e-6
        assert not moved[:position].any()
        assert position == 7 or moved[position]


@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_targets_depend_on_every_source_token(model, batch, direction):
    before = logits(model, batch, direction)
    changed = {**batch}
    if direction == "text_to_image":
        changed["text_ids"] = batch["text_ids"].clone()
        changed["text_ids"][:, 1] = 6 + (batch["text_ids"][:, 1] == 6).long()
    else:
        changed["image_ids"] = batch["image_ids"].clone()
        changed["image_ids"][:, -1, -1] = (batch["image_ids"][:, -1, -1] + 1) % 24
    assert ((logits(model, changed, direction) - before).abs().amax(dim=2) > 1e-6).all(dim=1).any()


def test_padding_changes_nothing(model, batch):
    for direction in ("text_to_image", "image_to_text"):
        before = logits(model, batch, direction)
        changed = {**batch, "text_ids": batch["text_ids"].clone()}
        for row, length in zip(changed["text_ids"], batch["text_length"], strict=True):
            row[length:] = 9
        after = logits(model, changed, direction)
        for row in range(3):
            real = slice(None)
            if direction == "image_to_text":
                real = slice(0, batch["text_length"][row] - 1)
            torch.testing.assert_close(after[row, real], before[row, real])


def test_implementations_agree_in_losses_and_gradients(make_model, batch):
    results = []
    for implementation in ("dense", "blockwise"):
        model = make_model(attention_implementation=implementation)
        image = image_loss(model, batch, model.config, scale=0.01)
        caption = caption_loss(model, batch, model.config, scale=0.1)
        (image.total + caption.total).backward()
        results.append((image.nats, caption.nats, [p.grad for p in model.parameters()]))
    dense, blockwise = results
    torch.testing.assert_close(blockwise[0], dense[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(blockwise[1], dense[1], rtol=1e-5, atol=1e-5)
    for ours, reference in zip(blockwise[2], dense[2], strict=True):
        assert (ours - reference).norm() <= 1e-5 * max(reference.norm(), 1e-3)


def test_both_directions_use_the_same_weights(model, batch):
    for loss in (image_loss, caption_loss):
        model.zero_grad()
        loss(model, batch, model.config).total.backward()
        for block in model.blocks:
            assert all(p.grad is not None and p.grad.norm() > 0 for p in block.parameters())


def test_only_the_targets_logits_are_computed(model, batch):
    output = model(batch["text_ids"], batch["text_length"], batch["image_ids"], "text_to_image")
    assert output.text_logits is None and output.image_logits.shape == (3, 35, 24)
    assert output.hidden.shape == (3, 8 + 1 + 35, 32)
    output = model(batch["text_ids"], batch["text_length"], batch["image_ids"], "image_to_text")
    assert output.image_logits is None and output.text_logits.shape == (3, 7, 30)


def test_a_checkpoint_round_trips_bit_for_bit(model, batch, tmp_path):
    with torch.no_grad():
        for weight in model.parameters():  # away from what every new model starts with
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(tmp_path)
    again = UnifiedTransformer.from_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    kept, read = model.config.to_dict(), again.config.to_dict()
    changed = {name for name in kept if read[name] != kept[name]}
    assert changed <= {"architectures", "dtype", "_name_or_path"}
    for direction in ("text_to_image", "image_to_text"):
        assert torch.equal(logits(again, batch, direction), logits(model, batch, direction))


def test_loaded_weights_are_never_started_anew(model):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for weight in model.parameters():
        weight._is_hf_initialized = True  # as the loader marks them
    model.initialize_weights()
    for module in model.modules():
        model._init_weights(module)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_layers_that_write_to_the_residual_stream_start_smaller(make_model):
    model = make_model(hidden_size=128)
    plain = model.blocks[0].feed_forward.inner.weight.std()
    writing = model.blocks[0].feed_forward.output.weight.std()
    assert (writing / plain).item() == pytest.approx((2 * 4) ** -0.5, rel=0.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 30, "num_attention_heads": 4}, "does not divide"),
        ({"num_hidden_layers": 2}, "at least 3 layers"),
        ({"layer_patterns": ("diagonal",)}, "diagonal"),
        ({"attention_implementation": "magic"}, "not one of auto, dense"),
        ({"dropout": 1.0}, "dropout"),
        ({"text_positions": 2}, "text_positions"),
    ],
)
def test_impossible_shapes_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        TransformerShape(**change)


def test_wrong_inputs_are_refused(model, batch):
    text, length, image = batch["text_ids"], batch["text_length"], batch["image_ids"]
    with pytest.raises(ValueError, match="12"):
        model(torch.zeros(3, 13, dtype=torch.long), length, image, "text_to_image")
    with pytest.raises(ValueError, match="7 x 5"):
        model(text, length, image[:, :, :4], "text_to_image")
    with pytest.raises(ValueError, match="direction"):
        model(text, length, image, "sideways")
