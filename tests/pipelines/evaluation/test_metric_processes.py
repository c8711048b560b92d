"""Several processes measure what one does."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch
import torch._dynamo  # see tests/vq/test_processes.py
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.functional import normalize

from pipelines.command_line import UserError
from pipelines.evaluation.classification import ClassificationScore
from pipelines.evaluation.codebook_usage import CodebookUsage
from pipelines.evaluation.fidelity import FeatureStatistics, InceptionScore, fid
from pipelines.evaluation.figures import Missing
from pipelines.evaluation.likelihood import BitsPerId
from pipelines.evaluation.matching import Matching
from pipelines.evaluation.objects import ObjectAccuracy
from pipelines.evaluation.opening_judges import open_in_all
from pipelines.evaluation.similarity import Similarity
from pipelines.evaluation.streaming import Mean
from pipelines.training.distributed import Processes

BLOCKS = 3
ROWS = 11


class Measured:
    """One metric of each kind."""

    def __init__(self):
        self.real, self.made = FeatureStatistics(6), FeatureStatistics(6)
        self.inception_score = InceptionScore(6, splits=4)
        self.similarity = Similarity(Missing("there is none."))
        self.usage = CodebookUsage(32)
        self.bits = BitsPerId()
        self.matching = Matching()
        self.objects = ObjectAccuracy(["kite", "zebra"])
        self.classes = ClassificationScore(6)
        self.nothing = Mean()

    def add(self, block):
        """The rows of a block."""
        generator = torch.Generator().manual_seed(block)
        random = partial(torch.rand, generator=generator)
        features, pictures = random(2, ROWS, 6), random(2, ROWS, 3, 16, 16)
        rows = torch.arange(ROWS) + block * ROWS
        captions = [f"a {'kite' if row % 2 else 'zebra'} {row}" for row in rows]
        self.real.update(features[0])
        self.made.update(features[1])
        self.inception_score.update(features[0] * 9, rows)
        self.similarity.update(*pictures)
        self.usage.update((random(ROWS, 4) * 32).long())
        self.bits.update(random(ROWS), 4 * ROWS)
        self.matching.update(*normalize(features, dim=2), captions)
        self.objects.update(captions, [{row % 3} for row in rows.tolist()])
        self.classes.update(features[0].softmax(dim=1), rows % 6)

    def figures(self):
        found = {"fid": fid(self.real.gaussian(), self.made.gaussian()), "bits": self.bits.figure()}
        found["inception_score"] = self.inception_score.figures()
        for name in ("similarity", "usage", "matching", "objects", "classes"):
            found[name] = asdict(getattr(self, name).figures())
        assert isinstance(self.nothing.figure(), Missing)
        return found


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, figure in expected.items():
        if isinstance(figure, dict):
            same(found[name], figure)
        elif isinstance(figure, float | tuple):
            assert found[name] == pytest.approx(figure, rel=1e-9), name
        else:
            assert found[name] == figure, name


def of_one_process():
    measured = Measured()
    for block in range(BLOCKS):
        measured.add(block)
    return measured.figures()


def test_metrics_add_up(monkeypatch):
    """As over two processes, whose states torchmetrics gathers; here from a second object."""
    mine, others = Measured(), Measured()
    for block in range(BLOCKS):
        (mine if block % 2 == 0 else others).add(block)

    def together(metric, other):
        states = iter([getattr(other, name) for name in other._reductions])
        metric.distributed_available_fn = lambda: True
        metric.dist_sync_fn = lambda state, group: [state, next(states)]

    for name, metric in vars(mine).items():
        together(metric, getattr(others, name))
    together(mine.classes.average_precision, others.classes.average_precision)
    same(mine.figures(), of_one_process())


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    measured = Measured()
    for block in range(rank, BLOCKS, 2):
        measured.add(block)
    torch.save((measured.figures(), judges(rank)), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def judges(rank):
    """What both processes get of judges that one or none of them can have."""

    class Group(Processes):
        def __init__(self):
            self.rank, self.count, self.device = rank, 2, torch.device("cpu")

    asked = []

    def open_judge(can):
        asked.append(rank)
        return f"judge of {rank}" if rank in can else Missing(f"{rank} lacks it.")

    found = [open_in_all(Group(), partial(open_judge, can)) for can in ({0, 1}, {0}, {1}, set())]
    return [one.reason if isinstance(one, Missing) else one for one in found], len(asked)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    expected = of_one_process()
    for rank in range(2):
        found, (judges, asked) = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        same(found, expected)
        # The second asks only where the first was successful.
        assert asked == (4, 2)[rank]
        assert judges == [f"judge of {rank}", "1 lacks it.", "0 lacks it.", "0 lacks it."]


def test_a_judge_of_one_process():
    with Processes(torch.device("cpu")) as processes:
        assert open_in_all(processes, lambda: "judge") == "judge"
        assert open_in_all(processes, lambda: Missing("no.")) == Missing("no.")

        def refuse():
            raise UserError("it is damaged.")

        with pytest.raises(UserError, match="it is damaged"):
            open_in_all(processes, refuse)
