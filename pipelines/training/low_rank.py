"""Low-rank adapters (LoRA; Hu et al., 2106.09685) beside frozen matrices, by the library peft.

Of a matrix W that has learned already only a difference B A of rank r is trained: W x becomes
W x + alpha / r * B A x. What is frozen has neither gradients nor optimizer state nor an average.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

ADAPTER = "default"
FROZEN, TRAINED_BESIDE = ".base_layer", ".lora_"
"""What the names of weights have in them: of a frozen layer with an adapter, and of the adapter."""


@dataclass(frozen=True)
class LoraSettings:
    """Adapters of all matrices of the transformer's blocks: beside fewer of them full training is
    not matched (QLoRA, 2305.14314, section 4).

    Args:
        rank: of each difference.
        alpha: differences count alpha / rank times.
        dropout: of what the adapters read.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; it must be at least 1.")
        if self.alpha <= 0:
            raise ValueError(f"alpha is {self.alpha}; it must be above 0.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1).")


def add_adapters(module: nn.Module, matrices: str, settings: LoraSettings) -> None:
    """Freezes a module and lays an adapter beside each layer whose name fits the pattern
    `matrices`; at first they change nothing, as B is zero."""
    # Only here, because most runs do without it.
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # only ever divided by the rank
        lora_dropout=settings.dropout,
        target_modules=matrices,
    )
    inject_adapter_in_model(config, module, ADAPTER)


def merged_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of the module as it was before `add_adapters`, each difference added, on the CPU;
    the module's own stay as they are."""
    from peft.tuners.lora import Linear

    for name, value in module.state_dict().items():
        layer, frozen, rest = name.partition(FROZEN)
        if frozen:
            adapted = module.get_submodule(layer)
            assert isinstance(adapted, Linear)
            yield layer + rest, (value + adapted.get_delta_weight(ADAPTER).detach()).cpu()
        elif TRAINED_BESIDE not in name:
            yield name, value.cpu()
