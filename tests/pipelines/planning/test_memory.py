"""States under each division, against plain arithmetic and against a real optimizer."""

from dataclasses import replace

import pytest
import torch

from pipelines.command_line import UserError
from pipelines.planning.memory import MemoryPlanner, state_memory
from pipelines.planning.simulation import MemoryMeter
from pipelines.planning.workload import count_parameters, read_workload
from pipelines.planning.zero import COLUMNS, Division, columns, read_division
from pipelines.training.ema import WeightAverage
from pipelines.training.optimizer import build_optimizer
from pipelines.training.settings import OptimizerSettings
from pipelines.training.weights import WholeWeights
from unified_transformer import UnifiedTransformer, UnifiedTransformerConfig

BILLION = 10**9
NO_BUFFERS = {"deepspeed": True, "bucket": 0, "gathered": 0}


@pytest.mark.parametrize(
    ("stage", "expected"),
    # Bytes a parameter: weights, copy, gradients, moments, average; N = 64 processes.
    [
        (0, 4 + 4 + 8 + 4),
        (1, 4 + 4 / 64 + 4 + 8 / 64 + 4),
        (2, 4 + 4 / 64 + 4 / 64 + 8 / 64 + 4),
        (3, (4 + 4 + 4 + 8 + 4) / 64),
    ],
)
def test_bytes_of_a_parameter(stage, expected):
    states = state_memory(BILLION, Division(stage, **NO_BUFFERS), 64)
    assert states.device / BILLION == pytest.approx(expected, rel=1e-3)


def test_what_is_offloaded_is_on_the_host():
    plain = state_memory(BILLION, Division(3, **NO_BUFFERS), 8)
    optimizer, both = (
        state_memory(BILLION, Division(3, True, parameters, **NO_BUFFERS), 8)
        for parameters in (False, True)
    )
    assert plain.host == 0
    assert (optimizer.moments, optimizer.gradients, optimizer.master) == (0, 0, 0)
    assert optimizer.weights == plain.weights and both.weights == 0
    assert optimizer.host * 8 == (4 + 4 + 8 + 4) * BILLION
    assert both.host - optimizer.host == plain.weights


def test_weights_gradients_moments_and_average_of_a_real_run():
    """The meter counts what an optimizer and an average make of real parameters."""
    config = UnifiedTransformerConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=2)
    with MemoryMeter() as meter:
        model = UnifiedTransformer(config)
        meter.restart()
        weights = meter.live
        average = WeightAverage(WholeWeights(model), 0.99)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer = build_optimizer(model, OptimizerSettings())
        optimizer.step()
        average.update()
        live = meter.live
    count = sum(p.numel() for p in model.parameters())
    planned = state_memory(count, Division(), 1)
    # A step counter for each tensor comes on top.
    assert weights == pytest.approx(planned.weights, rel=0.01)
    assert live == pytest.approx(planned.device, rel=0.01)


@pytest.fixture(scope="module")
def ten_billion():
    return read_workload("configs/bidirectional/ernie_vilg_10b.yaml", [], None, None)


def test_ten_billion_on_64_gpus(ten_billion):
    """What decides a purchase: nothing but stage 3 fits 80 GiB."""
    planner = MemoryPlanner(ten_billion, count_parameters(ten_billion), 64)
    totals = {
        division.name: planner.memory(division, checkpointing=True).device / 2**30
        for division in COLUMNS
    }
    assert totals["data parallel"] > totals["ZeRO 1"] > totals["ZeRO 2"] > 80 > totals["ZeRO 3"]
    off = [totals[f"ZeRO 3, {what} off"] for what in ("optimizer", "optimizer+params")]
    assert totals["ZeRO 3"] > off[0] > off[1]


def test_checkpointing_trades_memory():
    small = ["model.num_hidden_layers=4", "model.hidden_size=256", "model.num_attention_heads=4"]
    workload = read_workload(
        "configs/bidirectional/ernie_vilg_300m_end_to_end.yaml",
        [*small, "end_to_end.mapper_size=64"],
        None,
        None,
    )
    planner = MemoryPlanner(workload, count_parameters(workload), 8)
    with_it, without = (planner.memory(Division(), on).step.total for on in (True, False))
    assert with_it < without / 2


def test_a_division_is_read_from_the_json(tmp_path):
    file = tmp_path / "zero.json"
    file.write_text(
        '{"zero_optimization": {"stage": 3, "reduce_bucket_size": 2e8, "sub_group_size": "auto",'
        ' "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "none"}}}'
    )
    division = read_division(file)
    assert division == Division(3, True, False, True, bucket=200_000_000)
    assert division in columns(division) and len(columns(division)) == len(COLUMNS)
    odd = replace(division, stage=1)
    assert columns(odd)[-1] == odd
    assert all(column.bucket == 200_000_000 for column in columns(division))


@pytest.mark.parametrize("text", ["{", "[]", '{"zero_optimization": {"stage": "two"}}'])
def test_what_is_no_division_is_refused(tmp_path, text):
    file = tmp_path / "zero.json"
    file.write_text(text)
    with pytest.raises(UserError, match="zero.json"):
        read_division(file)
