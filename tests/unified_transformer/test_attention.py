"""Every implementation agrees with `dense`, forward and gradients."""

import pytest
import torch

from unified_transformer.attention import IMPLEMENTATIONS
from unified_transformer.attention.kernel import attend, attend_by_products
from unified_transformer.attention.patterns import PATTERNS
from unified_transformer.sequence import DIRECTIONS, build_sequence

GRIDS = [(8, 8), (5, 3), (3, 7), (1, 4), (4, 1), (13, 12)]


def inputs(grid, text_positions=6, lengths=(6, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), 2, text_positions + 1 + grid[0] * grid[1], 8)
    return [torch.randn(shape, generator=generator).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("grid", GRIDS)
def test_blockwise_equals_dense(grid, pattern, direction):
    lengths = torch.tensor([6, 3])
    sequence = build_sequence(lengths, 6, grid, direction)
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


def test_blocks_take_no_more_keys_than_their_lines():
    from unified_transformer.attention.blockwise import block_mask

    assert block_mask("row", 32, 32, False).shape == (32, 32, 64)
    assert block_mask("row", 32, 32, True).shape == (32, 32, 96)
    assert block_mask("column", 24, 32, True).shape == (32, 24, 24)
    assert block_mask("conv", 32, 32, False).shape == (32, 32, 6 * 32)


def test_written_out_attention_equals_the_fused_kernel():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 9, 16) for _ in range(3))
    mask = torch.rand(2, 1, 9, 9) > 0.5
    mask |= torch.eye(9, dtype=torch.bool)
    fused = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(attend_by_products(query, key, value, mask), fused)
    torch.testing.assert_close(attend(query, key, value, mask), fused)
