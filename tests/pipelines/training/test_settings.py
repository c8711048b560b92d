import pytest

from pipelines.training.settings import OptimizerSettings, TrainingSettings


@pytest.mark.parametrize("length", [{}, {"steps": 3, "minutes": 1.0}])
def test_exactly_one_length(length):
    with pytest.raises(ValueError, match="exactly one"):
        TrainingSettings(**length)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"minutes": -1.0, "steps": None},
        {"batch_size": 0},
        {"micro_batch_size": 0},
        {"save_every": -1},
        {"ema_decay": 1.0},
        {"keep_states": 0},
    ],
)
def test_values_out_of_range_are_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        TrainingSettings(**({"steps": 10} | wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"weight_decay": -0.1},
        {"warmup_steps": -1},
        {"final_fraction": 1.5},
        {"gradient_clipping": 0.0},
    ],
)
def test_optimizer_values_out_of_range_are_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        OptimizerSettings(**wrong)


def test_divide_batch():
    settings = TrainingSettings(steps=1, batch_size=24, micro_batch_size=4)
    assert settings.divide_batch(1) == (4, 6)
    assert settings.divide_batch(3) == (4, 2)
    assert TrainingSettings(steps=1, batch_size=24).divide_batch(2) == (12, 1)
    with pytest.raises(ValueError, match="5 processes cannot share"):
        settings.divide_batch(5)
    with pytest.raises(ValueError, match="choose a divisor of 6"):
        settings.divide_batch(4)
