import os

import pytest
import torch

from pipelines.command_line import UserError
from pipelines.training import distributed
from pipelines.training.distributed import Processes, _buckets, _share_cores


def test_gradients_travel_in_buckets_of_one_format(monkeypatch):
    monkeypatch.setattr(distributed, "BUCKET_BYTES", 40)
    tensors = [
        torch.zeros(6),
        torch.zeros(4),
        torch.zeros(3, dtype=torch.bfloat16),
        torch.zeros(20),
    ]
    sizes = [[tensor.numel() for tensor in bucket] for bucket in _buckets(tensors)]
    assert sizes == [[6, 4], [20], [3]]


def test_one_process_needs_no_exchange():
    processes = Processes(torch.device("cpu"))
    gradient = torch.ones(3)
    processes.average([gradient])
    assert gradient.tolist() == [1, 1, 1] and processes.all_reduce_sum(gradient) is gradient
    assert processes.gather("mine") == ["mine"] and processes.maximum([2.0]) == [2.0]

    def refuse():
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        processes.on_main(refuse)
    assert processes.together(lambda: 3) == 3
    with pytest.raises(UserError, match="no"):
        processes.together(refuse)


@pytest.mark.parametrize("mistaken", [True, False])
def test_a_mistake_in_one_process_stops_the_others(monkeypatch, mistaken):
    processes = Processes(torch.device("cpu"))
    monkeypatch.setattr(processes, "maximum", lambda values: [1.0])  # as one of them says

    def work():
        if mistaken:
            raise UserError("no")
        return 3

    with pytest.raises(UserError if mistaken else SystemExit) as stop:
        processes.together(work)
    assert mistaken or stop.value.code == 2


def test_cores_are_shared_where_nobody_chose(monkeypatch):
    chosen = []
    monkeypatch.setattr(distributed.torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(distributed, "_usable_cores", lambda: 8)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is put back as it was
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    _share_cores()
    assert chosen == [2] and os.environ["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _share_cores()
    assert chosen == [2]


@pytest.mark.parametrize(("said", "used"), [("1", [8]), ("3", [])])
def test_one_thread_by_accelerates_default_is_not_a_choice(monkeypatch, said, used):
    chosen = []
    monkeypatch.setattr(distributed.torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(distributed, "_usable_cores", lambda: 8)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    _share_cores()
    assert chosen == used


def test_a_launch_of_several_that_became_one_is_told(monkeypatch, capsys):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("RANK", raising=False)
    Processes(torch.device("cpu"))
    assert "--multi_gpu --num_processes N" in capsys.readouterr().err


def test_deepspeed_through_accelerate_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match="use the deepspeed launcher"):
        Processes(torch.device("cpu"))
