"""Every implementation agrees with `dense`, forward and gradients."""

from itertools import product

import pytest
import torch

from unified_transformer.attention import IMPLEMENTATIONS, choose_implementation
from unified_transformer.attention.flex import blocks_that_meet
from unified_transformer.attention.kernel import attend, attend_by_products
from unified_transformer.attention.lines import Lines
from unified_transformer.attention.patterns import PATTERNS, image_mask
from unified_transformer.losses import image_nll
from unified_transformer.sequence import DIRECTIONS, build_sequence

ROLES = [*((direction, False) for direction in DIRECTIONS), ("image_to_text", True)]
GRIDS = [(8, 8), (5, 3), (3, 7), (1, 4), (4, 1), (13, 12)]


def asked(question, longest):
    """Lengths of two questions, the shorter one of two tokens."""
    return torch.tensor([longest, 2]) if question else None


def inputs(grid, text_positions=6, lengths=(6, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), 2, text_positions + 1 + grid[0] * grid[1], 8)
    return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize(("direction", "question"), ROLES)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("grid", GRIDS)
def test_blockwise_equals_dense(grid, pattern, direction, question):
    lengths = torch.tensor([6, 3])
    sequence = build_sequence(lengths, 6, grid, direction, asked(question, 2))
    # What a padding query computes is unspecified.
    weight = sequence.real[:, None, :, None] * torch.randn(1, 2, sequence.real.shape[1], 8)
    results = []
    for implementation in ("dense", "blockwise"):
        query, key, value = inputs(grid)
        out = IMPLEMENTATIONS[implementation](query, key, value, sequence, pattern, 0.0)
        assert out.isfinite().all()
        (out * weight).sum().backward()
        results.append([out * sequence.real[:, None, :, None], query.grad, key.grad, value.grad])
    for dense, blockwise in zip(*results, strict=True):
        torch.testing.assert_close(blockwise, dense, rtol=1e-5, atol=2e-6)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(("direction", "question"), ROLES)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("grid", [(8, 8), (5, 3), (13, 24)])
def test_flex_equals_dense(grid, pattern, direction, question):
    """Forward: on a CPU it has no backward pass."""
    lengths = torch.tensor([150, 3])  # more than one block of text
    sequence = build_sequence(lengths, 150, grid, direction, asked(question, 140))
    query, key, value = (tensor.detach() for tensor in inputs(grid, 150))
    dense = IMPLEMENTATIONS["dense"](query, key, value, sequence, pattern, 0.0)
    flex = IMPLEMENTATIONS["flex"](query, key, value, sequence, pattern, 0.0)
    real = sequence.real[:, None, :, None]
    torch.testing.assert_close(flex * real, dense * real, rtol=1e-5, atol=2e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("implementation", ["flex", "blockwise"])
@pytest.mark.parametrize(("direction", "question"), ROLES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_gradients_equal_those_of_dense_on_a_gpu(pattern, direction, question, implementation):
    lengths = torch.tensor([150, 3], device="cuda")
    length = asked(question, 140)
    length = None if length is None else length.cuda()
    sequence = build_sequence(lengths, 150, (13, 24), direction, length)
    generator = torch.Generator().manual_seed(0)
    shape = (2, 2, 150 + 1 + 13 * 24, 32)
    made = [torch.randn(shape, generator=generator).cuda() for _ in range(4)]
    weight = made[3] * sequence.real[:, None, :, None]
    results = []
    for name in ("dense", implementation):
        query, key, value = (tensor.clone().requires_grad_() for tensor in made[:3])
        out = IMPLEMENTATIONS[name](query, key, value, sequence, pattern, 0.0)
        (out * weight).sum().backward()
        results.append([out * sequence.real[:, None, :, None], query.grad, key.grad, value.grad])
    for dense, other in zip(*results, strict=True):
        torch.testing.assert_close(other, dense, rtol=1e-2, atol=1e-2)  # products in TF32


def test_flex_skips_blocks_in_which_nothing_is_seen():
    """The share of 128 x 128 blocks at 64 x 64 positions and 63 of text: at most the keys of a
    line, the prefix and the blocks' own width, and columns as few as rows."""
    for pattern, most in (("row", 0.11), ("column", 0.11), ("conv", 0.28)):
        partly, _, wholly, _ = blocks_that_meet(pattern, 63, 64, 64, False, False)
        assert (partly + wholly).sum() / partly.numel() ** 2 < most


def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_the_same_choices():
    sequence = build_sequence(torch.tensor([6, 3]), 6, (5, 4), "text_to_image")
    query, key, value = (tensor.detach().double().requires_grad_() for tensor in inputs((5, 4)))

    def attention(query, key, value):
        torch.manual_seed(3)
        return IMPLEMENTATIONS["blockwise"](query, key, value, sequence, "row", 0.3)

    torch.autograd.gradcheck(attention, (query, key, value), fast_mode=True)
    once = attention(query, key, value)
    many = [
        IMPLEMENTATIONS["blockwise"](query, key, value, sequence, "row", 0.3) for _ in range(600)
    ]
    plain = IMPLEMENTATIONS["blockwise"](query, key, value, sequence, "row", 0.0)
    assert not torch.equal(once, plain)
    assert (torch.stack(many).mean(0) - plain).abs().max() < 0.15


@pytest.mark.parametrize(
    ("pattern", "grid", "two_sided", "keys_per_query"),
    [
        ("row", (32, 32), False, 2 * 32),
        ("row", (32, 32), True, 3 * 32),
        ("column", (48, 32), True, 48),
        ("conv", (64, 32), False, 6 * 32),
        ("conv", (64, 32), True, 11 * 32),
    ],
)
def test_blocks_take_no_more_keys_than_their_lines(pattern, grid, two_sided, keys_per_query):
    lines = Lines(pattern, *grid, two_sided)
    blocks = list(lines.blocks(groups=7))
    assert sum(block.groups * block.own for block in blocks) == lines.count
    assert max(block.window * lines.length for block in blocks) == keys_per_query
    assert any(block.groups == 7 for block in blocks)


def test_blocks_mask_what_the_pattern_hides_and_nothing_else():
    sizes = ((1, 1), (1, 3), (2, 1), (2, 2), (3, 2))
    cases = product(("row", "column", "conv"), GRIDS, (False, True), sizes)
    for pattern, grid, two_sided, size in cases:
        lines = Lines(pattern, *grid, two_sided)
        raster = lines.of(torch.arange(grid[0] * grid[1])[None, :, None])
        seen = torch.zeros(grid[0] * grid[1], grid[0] * grid[1])
        for block in lines.blocks(*size):
            mask = block.mask()
            queries, keys = block.queries(raster)[0, ..., 0], block.keys(raster)[0, ..., 0]
            for of_group, to_group in zip(queries, keys, strict=True):
                seen[of_group[:, None], to_group] += 1.0 if mask is None else mask.float()
        assert torch.equal(seen, image_mask(pattern, *grid, two_sided).float())


@pytest.mark.parametrize("pattern", ["row", "column", "conv"])
def test_blocks_put_back_what_they_take(pattern):
    lines = Lines(pattern, 13, 12, two_sided=True)
    tensor = torch.randn(2, 13 * 12, 3)
    written, times = torch.zeros_like(tensor), torch.zeros_like(tensor)
    for block in lines.blocks(2, 3):
        block.write_queries(lines.of(written), block.queries(lines.of(tensor)))
        block.add_keys(lines.of(times), torch.ones_like(block.keys(lines.of(tensor))))
    assert torch.equal(written, tensor)
    seen = torch.zeros(13 * 12)
    for block in lines.blocks(2, 3):
        taken = block.keys(lines.of(torch.arange(13 * 12)[None, :, None]))
        seen += taken.flatten().bincount(minlength=13 * 12)
    assert torch.equal(times, seen[None, :, None].expand_as(times))


@pytest.mark.parametrize("at_once", [1, 2**30])
def test_groups_at_once_change_nothing(monkeypatch, at_once):
    for name in ("BYTES_AT_ONCE", "SCORES_OF_A_HEAD"):
        monkeypatch.setattr(f"unified_transformer.attention.pieces.{name}", at_once)
    for pattern, direction in product(PATTERNS, DIRECTIONS):
        test_blockwise_equals_dense((13, 12), pattern, direction, False)


def test_written_out_attention_equals_the_fused_kernel():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 9, 16) for _ in range(3))
    mask = torch.rand(2, 1, 9, 9) > 0.5
    mask |= torch.eye(9, dtype=torch.bool)
    fused = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(attend_by_products(query, key, value, mask), fused)
    torch.testing.assert_close(attend(query, key, value, mask), fused)


@pytest.mark.parametrize(
    ("device", "positions", "chosen"),
    [
        ("cpu", 64, "dense"),
        ("cpu", 1024, "blockwise"),
        ("cuda", 1024, "flex"),
        ("mps", 1024, "dense"),
    ],
)
def test_auto_is_what_suits_device_and_grid(device, positions, chosen):
    assert choose_implementation(torch.device(device), positions) == chosen


def test_auto_computes_what_dense_does(make_model, make_batch):
    """At a grid that is large enough for blocks."""
    losses = []
    for name in ("auto", "dense"):
        model = make_model(attention_implementation=name, grid_height=24, grid_width=24)
        losses.append(image_nll(model, make_batch(model.config), model.config))
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
