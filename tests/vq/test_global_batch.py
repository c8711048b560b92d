"""Choices that all processes make alike; several are played by threads of one test."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from vq.global_batch import GlobalBatch, gumbel_keys, picture_checksums


def on_processes(sizes, work) -> list:
    """`work(global_batch, rows of this process)` on as many processes as there are sizes."""
    count = len(sizes)
    barrier, slots = Barrier(count), [None] * count

    def run(rank: int):
        def all_reduce_sum(tensor):
            slots[rank] = tensor
            barrier.wait()
            total = sum(slots)
            barrier.wait()
            return total

        begin = sum(sizes[:rank])
        return work(GlobalBatch(all_reduce_sum, rank, count), slice(begin, begin + sizes[rank]))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


SIZES = pytest.mark.parametrize("sizes", [[7], [3, 4], [5, 0, 2]])


@SIZES
def test_gathers_rows_in_order_of_rank(sizes):
    rows = torch.arange(14.0).view(7, 2)
    for rank, (everyone, offset) in enumerate(
        on_processes(sizes, lambda batch, mine: batch.gather(rows[mine]))
    ):
        assert torch.equal(everyone, rows)
        assert offset == sum(sizes[:rank])


@SIZES
def test_the_best_of_all_processes(sizes):
    keys = torch.tensor([3.0, 9.0, 1.0, 5.0, 7.0, 2.0, 8.0])
    rows = keys[:, None] * 10
    for best in on_processes(sizes, lambda batch, mine: batch.best(keys[mine], rows[mine], 4)):
        assert best.flatten().tolist() == [90, 80, 70, 50]


@SIZES
def test_noise_belongs_to_the_picture(sizes):
    checksums = torch.tensor([50, 20, 70, 10, 60, 30, 40])
    whole = GlobalBatch(lambda tensor: tensor).noise(checksums, 3, seed=1).view(7, 3)
    parts = on_processes(sizes, lambda batch, mine: batch.noise(checksums[mine], 3, seed=1))
    assert torch.equal(torch.cat(parts).view(7, 3), whole)
    order = torch.tensor([4, 2, 0, 6, 5, 1, 3])
    moved = GlobalBatch(lambda tensor: tensor).noise(checksums[order], 3, seed=1).view(7, 3)
    assert torch.equal(moved, whole[order])
    assert len(whole.unique()) == 21
    other = GlobalBatch(lambda tensor: tensor).noise(checksums, 3, seed=2).view(7, 3)
    assert (other != whole).all()


def test_checksums_tell_pictures_apart():
    pixels = torch.rand(5, 3, 8, 8)
    sums = picture_checksums(pixels)
    assert len(sums.unique()) == 5
    assert torch.equal(picture_checksums(pixels[2:3]), sums[2:3])
    mirrored = picture_checksums(pixels.flip(3))
    assert not set(mirrored.tolist()) & set(sums.tolist())


def test_keys_sample_in_proportion_to_weights():
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([1.0, 0.0, 3.0])
    noise = torch.rand(4000, 3, generator=generator).clamp(1e-7, 1 - 1e-7)
    first = gumbel_keys(weights, noise).argmax(dim=1)
    shares = torch.bincount(first, minlength=3) / 4000
    assert torch.allclose(shares, torch.tensor([0.25, 0.0, 0.75]), atol=0.03)
