"""A control for end-to-end training: the tokenizer's own decoder, trained on from ids.

The decoder of an end-to-end run has seen more pictures than the tokenizer's. Trained on for as many
steps, with the same losses and the same optimizer, but without hidden states, it tells what of the
difference is that.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import device_and_dtype
from pipelines.configuration.assembly import tokenizer_task
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.model_loading import load_tokenizer
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.distributed import Processes
from pipelines.training.run_folder import open_run_folder
from pipelines.training.trainer import Trainer
from vq import VQGAN, Decoder, ReconstructionGame, VQGANObjective, VQGANObjectiveSettings


@dataclass
class Painted:
    """A decoder's pictures, and what its last layer painted them from."""

    reconstruction: Tensor
    features: Tensor


class FromCodes(nn.Module):
    """The player: codes [batch, code_dim, h, w] -> pixels, by a decoder."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, codes: Tensor) -> Painted:
        features = self.decoder.features(codes)
        return Painted(self.decoder.paint(features), features)


class DecoderObjective:
    """The reconstruction's losses, for a tokenizer's decoder alone; see `loop.Objective`."""

    def __init__(self, tokenizer: VQGAN, game: ReconstructionGame) -> None:
        self.tokenizer = tokenizer.requires_grad_(False)
        self.tokenizer.decoder.requires_grad_(True)
        self.players = {"generator": FromCodes(tokenizer.decoder)}
        self.game = game

    def turns(self, micro_batches: list[dict[str, Tensor]], step: int) -> Iterator:
        """The decoder's."""
        pixels = [batch["pixels"] for batch in micro_batches]
        yield from self.game.turns(
            micro_batches,
            lambda index: self._paint(pixels[index]),
            lambda index, output: {"loss": torch.zeros(())},
            self.game.scale(pixels),
            step,
        )

    @torch.no_grad()
    def evaluate(self, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """The reconstruction's figures."""
        found = self.game.evaluate(self._paint(batch["pixels"]).reconstruction, batch["pixels"])
        count = torch.tensor(len(batch["pixels"]))
        return {name: (values.sum(), count) for name, values in found.items()}

    def validation_loss(self, means: dict[str, float]) -> float:
        """The reconstruction's."""
        return means["reconstruction"]

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Counterpart of `state_dict`."""

    def _paint(self, pixels: Tensor) -> Painted:
        with torch.autocast(pixels.device.type, enabled=False):
            ids = self.tokenizer.encode_to_ids(pixels)  # in bf16 a sixth of them would differ
        return self.players["generator"](self.tokenizer.quantizer.look_up(ids))


def main(argv: list[str]) -> None:
    """Takes the command line of an end-to-end run; leaves a tokenizer's checkpoint."""
    arguments = parse_arguments(argv, "Train a tokenizer's decoder on.")
    config = load_configuration(arguments.config, arguments.overrides, BidirectionalRun)
    assert config.tokenizer is not None
    start = load_tokenizer(open_checkpoint(config.tokenizer, "tokenizer").tokenizer)
    run = TokenizerRun(
        output=config.output,
        training=config.training,
        model=start.config,
        objective=VQGANObjectiveSettings(**asdict(config.reconstruction)),
        data=config.data,
        seed=config.seed,
    )
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        folder = open_run_folder(run.output, arguments.resume)
        task = tokenizer_task(run, processes)
        whole = task.objective
        assert isinstance(whole, VQGANObjective)
        whole.tokenizer.load_state_dict(start.state_dict())
        objective = DecoderObjective(whole.tokenizer.eval(), whole.game)
        trainer = Trainer(
            replace(task, objective=objective), run.training, folder, processes, run.seed
        )
        trainer.train(arguments.resume)


def with_decoder(two_stage: Path, run: Path) -> BidirectionalPipeline:
    """What a two-stage run draws, painted by the decoder of a run of `main`."""
    pipe = BidirectionalPipeline.from_pretrained(two_stage)
    tokenizer = load_tokenizer(open_checkpoint(run, "tokenizer").tokenizer)
    tokenizer = tokenizer.to(pipe.transformer.device).decode_in(pipe.transformer.dtype)
    return BidirectionalPipeline(
        tokenizer, pipe.codec, pipe.transformer, pipe.sampling, ("text_to_image",)
    )
