import pytest
import torch

from pipelines.evaluation.codebook_usage import CodebookUsage
from pipelines.evaluation.figures import Missing
from vq import perplexity


def test_codes_in_use_and_perplexity():
    ids = torch.randint(48, (30, 4, 4), generator=torch.Generator().manual_seed(0))
    usage = CodebookUsage(64)
    for block in ids.split(8):
        usage.update(block)
    figures = usage.figures()
    counts = ids.flatten().bincount(minlength=64)
    assert figures.codes_used == len(ids.unique())
    assert figures.share_used == figures.codes_used / 64
    assert figures.perplexity == pytest.approx(perplexity(counts.double()).item())


def test_one_code_and_all_codes():
    one, every = CodebookUsage(8), CodebookUsage(8)
    one.update(torch.full((2, 3), 5))
    every.update(torch.arange(8))
    assert (one.figures().codes_used, one.figures().perplexity) == (1, pytest.approx(1))
    assert (every.figures().share_used, every.figures().perplexity) == (1, pytest.approx(8))
    assert isinstance(CodebookUsage(8).figures().perplexity, Missing)
