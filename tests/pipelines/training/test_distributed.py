import pytest
import torch

from pipelines.command_line import UserError
from pipelines.training import distributed
from pipelines.training.distributed import Processes, _buckets


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


def test_a_launch_of_several_that_became_one_is_told(monkeypatch, capsys):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("RANK", raising=False)
    Processes(torch.device("cpu"))
    assert "--multi_gpu --num_processes N" in capsys.readouterr().err


def test_deepspeed_through_accelerate_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match="use the deepspeed launcher"):
        Processes(torch.device("cpu"))
