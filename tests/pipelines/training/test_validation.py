import contextlib
import threading

import pytest
import torch

from pipelines.command_line import UserError
from pipelines.training.distributed import Processes
from pipelines.training.validation import validate


class Group:
    """Several processes as threads of this one: each `gather` waits for all."""

    def __init__(self, count):
        self.barrier, self.values = threading.Barrier(count), [None] * count

    def process(self, rank):
        process = Processes(torch.device("cpu"))
        process.rank, process.count = rank, len(self.values)

        def gather(value):
            self.values[rank] = value
            self.barrier.wait(timeout=30)
            found = list(self.values)
            self.barrier.wait(timeout=30)
            return found

        process.gather = gather
        process.mean = lambda tensor: torch.stack(gather(tensor)).mean(0)
        return process


class Objective:
    def __init__(self):
        self.seen = []

    def evaluate(self, batch):
        self.seen.append(batch["x"].tolist())
        return {"error": (batch["x"].sum(), torch.tensor(len(batch["x"])))}

    def validation_loss(self, means):
        return 2 * means["error"]


def test_all_processes_pass_equally_many_batches_and_count_their_own():
    shares = [[[1.0, 2.0], [3.0]], [[4.0]], []]
    group, found = Group(len(shares)), {}

    def work(rank, batches):
        objective, process = Objective(), group.process(rank)
        tensors = [{"x": torch.tensor(batch)} for batch in batches]
        means = validate(objective, tensors, process, contextlib.nullcontext)
        found[rank] = means, objective.seen

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(shares)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[rank][1] for rank in range(3)] == [
        [[1.0, 2.0], [3.0]],
        [[4.0], [3.0]],
        [[1.0, 2.0], [3.0]],
    ]
    for means, _ in found.values():
        assert means == pytest.approx({"error": 2.5, "loss": 5.0})


def test_nothing_to_measure_is_refused():
    class Silent(Objective):
        def evaluate(self, batch):
            return {}

    process = Group(1).process(0)
    with pytest.raises(UserError, match="raise data.validation_rows"):
        validate(Silent(), [{"x": torch.ones(1)}], process, contextlib.nullcontext)
