import pytest
import torch

from unified_transformer import TransformerShape
from unified_transformer.embeddings import sequence_turns
from unified_transformer.rotary import image_angles, rotate, text_angles, turns

CLOSE = {"atol": 1e-5, "rtol": 0}  # angles are in fp32


def products(angles, dim=32):
    """The product of the same query and key at every pair of places."""
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, dim).double()
    query, key = (vector.expand(len(angles), dim) for vector in (query, key))
    return rotate(query, turns(angles.double())) @ rotate(key, turns(angles.double())).T


def test_text_products_depend_on_the_distance_alone():
    scores = products(text_angles(9, pairs=8))
    for distance in range(-8, 9):
        diagonal = torch.diagonal(scores, distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), **CLOSE)
    apart = (scores[0][:, None] - scores[0]).abs() + torch.eye(9)
    assert apart.min() > 1e-3


def test_image_products_depend_on_the_step_in_rows_and_columns():
    height, width = 4, 3
    scores = products(image_angles(height, width, pairs=8)).reshape(height, width, height, width)
    seen = {}
    for r in range(height):
        for c in range(width):
            for s in range(height):
                for d in range(width):
                    step = (s - r, d - c)
                    expected = seen.setdefault(step, scores[r, c, s, d])
                    torch.testing.assert_close(scores[r, c, s, d], expected, **CLOSE)
    assert len({round(float(score), 4) for score in seen.values()}) == len(seen) == 7 * 5


def test_half_of_a_head_compares_contents_wherever_they_stand():
    torch.manual_seed(0)
    tensor = torch.randn(4, 32)
    turned = rotate(tensor, turns(text_angles(4, pairs=8)))
    assert torch.equal(turned[:, 16:], tensor[:, 16:])
    assert torch.equal(turned[0], tensor[0])
    assert not torch.isclose(turned[1:, :16], tensor[1:, :16]).any()
    torch.testing.assert_close(turned.norm(dim=1), tensor.norm(dim=1))


def test_turns_in_the_physical_order():
    placed = sequence_turns(6, 4, 3, 8, torch.device("cpu"))
    assert torch.equal(placed[:, :6], turns(text_angles(6, 8)))
    assert torch.equal(placed[:, 6], turns(torch.zeros(8)))  # [BOI]
    assert torch.equal(placed[:, 7:], turns(image_angles(4, 3, 8)))


def test_a_head_that_rows_and_columns_cannot_share_is_refused():
    with pytest.raises(ValueError, match="must divide by 8"):
        TransformerShape(hidden_size=36, num_attention_heads=3)


def test_position_embeddings_start_as_sinusoids_of_the_others_variance(make_model):
    embeddings = make_model(initializer_range=0.02, hidden_size=64, text_positions=40).embeddings
    for places in (embeddings.text_positions, embeddings.image_rows, embeddings.image_columns):
        near = (places.weight[1:] - places.weight[:-1]).norm(dim=1)
        assert torch.allclose(near, near[:1].expand_as(near), rtol=1e-3)
        torch.testing.assert_close(
            places.weight.square().mean().sqrt().item(), 0.02, rtol=1e-3, atol=0
        )


@torch.no_grad()
def test_words_are_told_apart_by_their_place_without_position_embeddings(make_model, make_batch):
    model = make_model()
    batch = make_batch(model.config)
    model.embeddings.text_positions.weight.zero_()
    swapped = batch["text_ids"].clone()
    swapped[0, [2, 4]] = swapped[0, [4, 2]]
    assert swapped[0, 2] != swapped[0, 4]
    before, after = (
        model(ids, batch["text_length"], batch["image_ids"], "text_to_image").image_logits[0]
        for ids in (batch["text_ids"], swapped)
    )
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize("axis", [1, 2])
@torch.no_grad()
def test_squares_are_told_apart_by_row_and_column(make_model, make_batch, axis):
    model = make_model(layer_patterns=("dense",))
    batch = make_batch(model.config)
    model.embeddings.image_rows.weight.zero_()
    model.embeddings.image_columns.weight.zero_()
    before, after = (
        model(batch["text_ids"], batch["text_length"], ids, "image_to_text").text_logits[0]
        for ids in (batch["image_ids"], batch["image_ids"].roll(1, dims=axis))
    )
    assert (before - after).abs().max() > 1e-3
