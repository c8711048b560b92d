"""End-to-end mode: a decoder paints from the hidden states of the image's ids, without looking ids
up, so that the gradient of the reconstruction reaches the transformer (ERNIE-ViLG, 2112.15283,
"End-to-end training")."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unified_transformer.model import UnifiedTransformer, UnifiedTransformerOutput
from unified_transformer.sequence import Direction

HiddenState = Literal["predicting", "consumed"]
HIDDEN_STATES: tuple[HiddenState, ...] = get_args(HiddenState)

MODEL_TYPE = "drawscribe_reconstructor"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


def standing_for_ids(hidden: Tensor, hidden_state: HiddenState, text_positions: int = 0) -> Tensor:
    """Of hidden states [batch, text_positions + 1 + n, dim] those that stand for z_1 ... z_n,
    [batch, n, dim]: those that predict them, one position before, or those that have consumed them.
    """
    first = text_positions + (hidden_state == "consumed")
    return hidden[:, first : hidden.shape[1] - (hidden_state == "predicting")]


@dataclass(frozen=True)
class ReconstructorConfig:
    """The shape of a `Reconstructor`, its decoder aside.

    Attributes:
        hidden_size: of the transformer.
        code_dim: what the decoder takes at each position.
        grid_height, grid_width: of the image's ids.
        mapper_size: the width between the mapper's two layers.
        hidden_state: which hidden state stands for an id: the one that is `predicting` it, and has
            not seen it, or the one that has `consumed` it. The paper leaves it open.
    """

    hidden_size: int
    code_dim: int
    grid_height: int
    grid_width: int
    mapper_size: int
    hidden_state: HiddenState = "consumed"

    def __post_init__(self) -> None:
        if self.mapper_size < 1:
            raise ValueError(f"mapper_size is {self.mapper_size}; it must be at least 1")
        if self.hidden_state not in HIDDEN_STATES:
            raise ValueError(
                f"hidden_state is {self.hidden_state!r}; it must be " + " or ".join(HIDDEN_STATES)
            )


class Reconstructor(nn.Module):
    """Hidden states -> nonlinear mapper -> z_emb -> decoder -> pixels."""

    def __init__(self, config: ReconstructorConfig, decoder: nn.Module) -> None:
        """`decoder`, trained along, has `features`: z_emb [batch, code_dim, h, w] -> features, and
        `paint`: features -> pixels; such as a VQGAN's decoder."""
        super().__init__()
        self.config = config
        self.mapper = nn.Sequential(
            nn.Linear(config.hidden_size, config.mapper_size),
            nn.GELU(),
            nn.Linear(config.mapper_size, config.code_dim),
        )
        self.decoder = decoder

    def features(self, hidden: Tensor) -> Tensor:
        """Hidden states [batch, n, dim] of the ids -> what the decoder's last layer paints from."""
        codes = self.mapper(hidden.to(next(self.mapper.parameters()).dtype))
        painter: Any = self.decoder
        return painter.features(rearrange(codes, "b (h w) d -> b d h w", h=self.config.grid_height))

    def paint(self, features: Tensor) -> Tensor:
        """Pixels [batch, channels, height, width], float32, not clamped."""
        painter: Any = self.decoder
        return painter.paint(features)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states [batch, n, dim] of the ids -> pixels, not clamped."""
        return self.paint(self.features(hidden))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors`: mapper and decoder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"model_type": MODEL_TYPE, **asdict(self.config)}
        (folder / CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})

    @classmethod
    def from_pretrained(cls, folder: str | Path, decoder: nn.Module) -> Self:
        """Reads what `save_pretrained` wrote into a new one around `decoder`, whose weights are
        replaced; in evaluation mode.

        Raises:
            ValueError: the folder is damaged, of another kind, or does not fit the decoder.
        """
        folder = Path(folder)
        try:
            settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            if settings.pop("model_type", None) != MODEL_TYPE:
                raise ValueError("it is of another kind")
            model = cls(ReconstructorConfig(**settings), decoder)
            model.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except Exception as error:  # whatever a damaged file makes the libraries raise
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"the reconstructor in {folder} cannot be loaded ({reason}); copy the whole "
                "checkpoint again"
            ) from error
        return model.eval()


@dataclass
class EndToEndOutput(UnifiedTransformerOutput):
    """What the transformer gives, and of the direction text to image what was painted:
    `reconstruction` [batch, channels, height, width], not clamped, and the `features` it was
    painted from."""

    reconstruction: Tensor | None = None
    features: Tensor | None = None


class EndToEndModel(nn.Module):
    """Transformer and reconstructor as one module, for one optimizer or engine."""

    def __init__(self, transformer: UnifiedTransformer, reconstructor: Reconstructor) -> None:
        super().__init__()
        self.transformer = transformer
        self.reconstructor = reconstructor

    def forward(
        self,
        text_ids: Tensor,
        text_length: Tensor,
        image_ids: Tensor,
        direction: Direction,
        reconstruct: bool = False,
        **arguments: Any,
    ) -> EndToEndOutput:
        """`UnifiedTransformer.forward`, and with `reconstruct` the picture of the ids."""
        output = self.transformer(text_ids, text_length, image_ids, direction, **arguments)
        painted = EndToEndOutput(**output)
        if reconstruct:
            kind = self.reconstructor.config.hidden_state
            hidden = standing_for_ids(output.hidden, kind, text_ids.shape[1])
            painted.features = self.reconstructor.features(hidden)
            painted.reconstruction = self.reconstructor.paint(painted.features)
        return painted


@torch.no_grad()
def hidden_states_of(
    model: UnifiedTransformer,
    text_ids: Tensor,
    text_length: Tensor,
    image_ids: Tensor,
    hidden_state: HiddenState,
) -> Tensor:
    """Hidden states [batch, n, dim] that stand for given ids [batch, h, w] after their prompts, by
    a teacher-forced pass."""
    output = model(text_ids, text_length, image_ids, "text_to_image", hidden_only=True)
    return standing_for_ids(output.hidden, hidden_state, text_ids.shape[1])
