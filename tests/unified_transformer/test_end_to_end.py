"""Hidden states that are collected while drawing, and what paints from them."""

import json

import pytest
import torch

from unified_transformer import (
    EndToEndModel,
    Reconstructor,
    ReconstructorConfig,
    SamplingSettings,
    generate_image_ids,
    hidden_states_of,
)
from unified_transformer.end_to_end import HIDDEN_STATES, standing_for_ids

PATTERNS = [None, ["row"], ["column"], ["conv"], ["dense"]]


def test_which_states_stand_for_ids():
    hidden = torch.arange(2 + 1 + 4)[None, :, None]  # two text positions, [BOI], four ids
    assert standing_for_ids(hidden, "predicting", 2).flatten().tolist() == [2, 3, 4, 5]
    assert standing_for_ids(hidden, "consumed", 2).flatten().tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("hidden_state", HIDDEN_STATES)
@pytest.mark.parametrize("patterns", PATTERNS)
def test_collected_states_equal_those_of_a_teacher_forced_pass(
    make_model, make_batch, patterns, hidden_state, scale
):
    model = make_model(layer_patterns=patterns, initializer_range=0.1)
    batch = make_batch(model.config)
    text, length = batch["text_ids"], batch["text_length"]
    settings = SamplingSettings(0.9, guidance_scale=scale)
    for window in (1, 3, 5):
        drawn = generate_image_ids(
            model, text, length, [[1, 2]] * 3, settings, window, hidden_state=hidden_state
        )
        twice = (tensor.repeat_interleave(2, 0) for tensor in (text, length))
        forced = hidden_states_of(model, *twice, drawn.ids, hidden_state)
        torch.testing.assert_close(drawn.hidden, forced, rtol=1e-4, atol=1e-5)


def test_states_are_not_collected_unasked(model, batch):
    drawn = generate_image_ids(model, batch["text_ids"], batch["text_length"], [[0]] * 3)
    assert drawn.hidden is None


def test_predicting_has_not_seen_its_id_and_consumed_has(model, batch):
    text, length, ids = batch["text_ids"], batch["text_length"], batch["image_ids"]
    other = ids.clone()
    other[:, 3, 2] = (other[:, 3, 2] + 1) % model.config.image_vocab_size
    for hidden_state, first in (("predicting", 3 * 5 + 3), ("consumed", 3 * 5 + 2)):
        one, two = (hidden_states_of(model, text, length, i, hidden_state) for i in (ids, other))
        moved = (one - two).abs().amax(dim=(0, 2)) > 1e-4
        assert not moved[:first].any() and moved[first]


@pytest.mark.parametrize("hidden_state", HIDDEN_STATES)
def test_the_reconstruction_alone_moves_every_layer(model, batch, make_reconstructor, hidden_state):
    whole = EndToEndModel(model, make_reconstructor(model.config, hidden_state))
    output = whole(
        batch["text_ids"], batch["text_length"], batch["image_ids"], "text_to_image", True
    )
    assert output.reconstruction.shape == (3, 3, 14, 10)
    # What is trained is painted from the same states as what is drawn (`hidden_states_of`).
    hidden = hidden_states_of(
        model, batch["text_ids"], batch["text_length"], batch["image_ids"], hidden_state
    )
    torch.testing.assert_close(output.reconstruction, whole.reconstructor(hidden))
    assert torch.equal(output.reconstruction, whole.reconstructor.paint(output.features))
    output.reconstruction.square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("blocks.", "embeddings.text", "embeddings.image", "final_norm")):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert model.image_head.weight.grad is None


def test_given_rows_stay_and_the_rest_follows_from_them(model, batch):
    text, length = batch["text_ids"], batch["text_length"]
    settings = SamplingSettings(0.9, guidance_scale=1.5)
    for rows in (1, 3, 6):
        given = batch["image_ids"][:, :rows]
        drawn = [
            generate_image_ids(
                model,
                text,
                length,
                [[1, 2]] * 3,
                settings,
                window,
                given=given,
                hidden_state="consumed",
            )
            for window in (1, 4)
        ]
        assert torch.equal(drawn[0].ids, drawn[1].ids)
        assert torch.equal(drawn[0].ids[::2, :rows], given)
        assert not torch.equal(drawn[0].ids[::2], drawn[0].ids[1::2])
        twice = (tensor.repeat_interleave(2, 0) for tensor in (text, length))
        forced = hidden_states_of(model, *twice, drawn[1].ids, "consumed")
        torch.testing.assert_close(drawn[1].hidden, forced, rtol=1e-4, atol=1e-5)


def test_a_picture_completed_from_its_own_rows_is_itself(model, batch):
    text, length, seeds = batch["text_ids"], batch["text_length"], [[4], [5], [6]]
    whole = generate_image_ids(model, text, length, seeds).ids
    for rows in (1, 4, 6):
        again = generate_image_ids(model, text, length, seeds, given=whole[:, :rows]).ids
        assert torch.equal(again, whole)


def test_a_saved_reconstructor_paints_the_same(model, make_reconstructor, make_decoder, tmp_path):
    reconstructor = make_reconstructor(model.config, "predicting")
    reconstructor.save_pretrained(tmp_path)
    loaded = Reconstructor.from_pretrained(tmp_path, make_decoder())
    assert loaded.config == reconstructor.config and not loaded.training
    hidden = torch.randn(2, 35, model.config.hidden_size)
    assert torch.equal(loaded(hidden), reconstructor(hidden))


def test_a_damaged_reconstructor_is_refused(model, make_reconstructor, make_decoder, tmp_path):
    make_reconstructor(model.config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="cannot be loaded"):
        Reconstructor.from_pretrained(tmp_path, make_decoder(code_dim=5))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "vqgan"}))
    with pytest.raises(ValueError, match="another kind"):
        Reconstructor.from_pretrained(tmp_path, make_decoder())
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="copy the whole checkpoint"):
        Reconstructor.from_pretrained(tmp_path, make_decoder())


@pytest.mark.parametrize(
    ("change", "words"), [({"mapper_size": 0}, "mapper_size"), ({"hidden_state": "x"}, "consumed")]
)
def test_impossible_shapes_are_refused(change, words):
    shape = {"hidden_size": 8, "code_dim": 4, "grid_height": 2, "grid_width": 2, "mapper_size": 8}
    with pytest.raises(ValueError, match=words):
        ReconstructorConfig(**shape | change)
