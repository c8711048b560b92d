import copy

import pytest
import torch
from torch import nn

from pipelines.training import storage
from pipelines.training.optimizer import (
    build_optimizer,
    clip_gradients,
    load_optimizer_state,
    optimizer_state,
    parts_of,
    schedule_factor,
)
from pipelines.training.settings import OptimizerSettings


def take_step(optimizer):
    for part in parts_of(optimizer):
        part.step()


def factor(step, progress, **settings):
    return schedule_factor(OptimizerSettings(**settings), step, progress)


def test_warmup_rises_linearly_and_reaches_the_peak():
    rates = [factor(step, 0.0, warmup_steps=4) for step in range(6)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    assert factor(0, 0.0, warmup_steps=0) == 1


def test_cosine_ends_at_the_final_fraction():
    ends = {"warmup_steps": 0, "final_fraction": 0.1}
    assert factor(0, 0.5, **ends) == pytest.approx(0.55)
    assert factor(0, 1.0, **ends) == pytest.approx(0.1)
    assert factor(0, 1.2, **ends) == pytest.approx(0.1)


def test_linear_is_constant_until_decay_start():
    linear = {"warmup_steps": 0, "schedule": "linear", "decay_start": 0.5, "final_fraction": 0.2}
    assert factor(0, 0.4, **linear) == 1
    assert factor(0, 0.75, **linear) == pytest.approx(0.6)
    assert factor(0, 1.0, **linear) == pytest.approx(0.2)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(5, 4),
            "hidden": nn.Linear(4, 4),
            "convolution": nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last),
            "norm": nn.LayerNorm(4),
        }
    )


def matrices_in(name, parameter):
    if parameter.ndim < 2 or name.startswith("embedding"):
        return 0
    return 2 if name == "hidden.weight" else 1


def loss(module):
    x = module["norm"](module["hidden"](module["embedding"].weight))
    pictures = x.reshape(1, 4, 5, 1).expand(1, 4, 5, 5).contiguous()
    return module["convolution"](pictures).square().sum()


def groups(optimizer, module):
    names = {parameter: name for name, parameter in module.named_parameters()}
    return [
        (sorted(names[p] for p in group["params"]), group["weight_decay"])
        for group in optimizer.param_groups
    ]


OTHERS = ["convolution.bias", "embedding.weight", "hidden.bias", "norm.bias", "norm.weight"]


def test_only_matrices_decay(module):
    optimizer = build_optimizer(module, OptimizerSettings(weight_decay=0.3), matrices_in)
    assert groups(optimizer, module) == [
        (["convolution.weight", "hidden.weight"], 0.3),
        (OTHERS, 0.0),
    ]


def test_muon_takes_matrices_and_kernels_and_adamw_the_rest(module):
    settings = OptimizerSettings(name="muon", weight_decay=0.3)
    optimizer = build_optimizer(module, settings, matrices_in)
    assert groups(optimizer, module) == [
        (["hidden.weight"], 0.3),
        (["convolution.weight"], 0.3),
        (OTHERS, 0.0),
    ]
    assert [group.get("matrices") for group in optimizer.param_groups] == [2, 1, None]
    module["embedding"].requires_grad_(False)
    frozen = build_optimizer(module, settings, matrices_in)
    assert "embedding.weight" not in groups(frozen, module)[2][0]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_reloaded_optimizer_steps_the_same(module, name, tmp_path):
    settings = OptimizerSettings(name=name)

    def step(module, optimizer):
        optimizer.zero_grad()
        loss(module).backward()
        take_step(optimizer)

    optimizer = build_optimizer(module, settings, matrices_in)
    step(module, optimizer)
    storage.write_tensors(tmp_path / "optimizer", optimizer_state(module, optimizer))
    twin = copy.deepcopy(module)
    twin_optimizer = build_optimizer(twin, settings, matrices_in)
    load_optimizer_state(twin, twin_optimizer, storage.read_tensors(tmp_path / "optimizer"))
    step(module, optimizer)
    step(twin, twin_optimizer)
    for (key, ours), theirs in zip(module.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs), key


def test_a_state_of_another_optimizer_is_refused(module):
    states = []
    for name in ("adamw", "muon"):
        optimizer = build_optimizer(module, OptimizerSettings(name=name), matrices_in)
        loss(module).backward()
        take_step(optimizer)
        states.append(dict(optimizer_state(module, optimizer)))
    with pytest.raises(ValueError, match=r"'exp_avg/.*weight' is on one side only"):
        load_optimizer_state(module, optimizer, states[0])
    load_optimizer_state(module, optimizer, {})  # it has not stepped yet


def test_clipping_returns_the_norm_before_and_limits_it_after():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([2.0, 0.0]), torch.tensor([1.5])
    assert float(clip_gradients(parameters, None)) == pytest.approx(2.5)
    assert float(clip_gradients(parameters, 1.0)) == pytest.approx(2.5)
    assert float(clip_gradients(parameters, 1.0)) == pytest.approx(1.0, abs=1e-5)
