"""Parameters of the published sizes, built without memory and counted on paper."""

import resource
import time

import pytest

from pipelines.planning.workload import build_on_meta, count_parameters, read_workload

SIZES = {"ernie_vilg_300m": (24, 1024, 16), "ernie_vilg_10b": (48, 4096, 64)}
TEXT, WORDS, CODES, GRID = 64, 20000, 8192, 32


def workload(name: str):
    return read_workload(f"configs/bidirectional/{name}.yaml", [], None, None)


def on_paper(layers: int, width: int) -> dict[str, int]:
    """By part; no layer has biases."""
    tokens = WORDS + CODES
    # Text positions, rows, columns, [BOI] and its position, two modalities, and the norm's gains.
    places = TEXT + 2 * GRID + 2 + 2 + 1
    return {
        "embeddings": (tokens + places) * width,
        "attention": layers * (3 + 1) * width**2,
        "feed-forward": layers * 2 * 4 * width**2,
        "norms": (2 * layers + 1) * width,
        "heads": tokens * width,
    }


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_those_on_paper(name):
    layers, width, heads = SIZES[name]
    planned = workload(name)
    assert planned.transformer.num_attention_heads == heads
    counted, expected = count_parameters(planned), on_paper(layers, width)
    assert counted.parts == expected
    assert counted.trained == sum(expected.values())
    assert counted.matrices == 12 * layers * width**2
    # 302M and 9.66B in the blocks: what the paper calls 300M and 10B.
    assert counted.matrices in (301_989_888, 9_663_676_416)


def test_ten_billion_build_without_memory_or_time():
    planned = workload("ernie_vilg_10b")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    model = build_on_meta(planned)
    assert time.perf_counter() - start < 10
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # in KiB
    assert grown < 200 * 2**10
    assert all(parameter.is_meta for parameter in model.parameters())
    assert all(buffer.is_meta for buffer in model.buffers())


def test_end_to_end_adds_mapper_and_decoder():
    plain, painting = (
        count_parameters(workload(name))
        for name in ("ernie_vilg_300m", "ernie_vilg_300m_end_to_end")
    )
    added = painting.parts.pop("reconstructor")
    assert painting.parts == plain.parts
    model = build_on_meta(workload("ernie_vilg_300m_end_to_end"))
    assert added == sum(p.numel() for p in model.reconstructor.parameters()) > 1024**2
