import math
from types import SimpleNamespace

import pytest

from pipelines.training.deepspeed_engine import DeepSpeedPlayer
from pipelines.training.settings import OptimizerSettings


@pytest.mark.parametrize("norm", [float("nan"), float("inf"), -1.0])
def test_whatever_deepspeed_says_of_an_infinite_gradient_is_not_finite(norm):
    """ZeRO 1 and 2 give the norm as it is, ZeRO 3 gives -1."""
    player = object.__new__(DeepSpeedPlayer)
    player.settings = OptimizerSettings()
    player.engine = SimpleNamespace(
        optimizer=SimpleNamespace(param_groups=[{}]),
        step=lambda: None,
        get_global_grad_norm=lambda: norm,
    )
    assert not math.isfinite(player.step(0, 0.0))
    player.engine.get_global_grad_norm = lambda: 2.5
    assert player.step(0, 0.0) == 2.5
