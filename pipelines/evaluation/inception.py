"""The Inception network that published FIDs and Inception Scores are measured with."""

import hashlib
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.hub import HASH_REGEX

from pipelines.command_line import UserError, in_short
from pipelines.evaluation.figures import Missing

FEATURES = 2048
CLASSES = 1008
"""Of TensorFlow's graph of 2015, 8 of which stand for nothing."""
AT_ONCE = 32
NO_ANSWER_SECONDS = 20


class Inception(nn.Module):
    """torch-fidelity's port of TensorFlow's graph of 2015, bit for bit in its resizing to 299
    pixels as well, which torchmetrics replaces by an antialiased one.

    Args:
        weights: the network's state dict.

    Raises:
        RuntimeError: they do not fit.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # The library reads a file, and unpickles whatever is in it: it gets one made here.
        file = io.BytesIO()
        torch.save(weights, file)
        file.seek(0)
        with torch.random.fork_rng(devices=[]):
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], file
            )

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures uint8 [n, 3, height, width] -> features [n, 2048] for FID and, for the Inception
        Score, logits [n, 1008] without the last bias (which nobody adds)."""
        parts = [self.network(some.to(self.device)) for some in pictures.split(AT_ONCE)]
        features, logits = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(logits)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


def load_inception(weights: str | Path | None = None) -> Inception | Missing:
    """The network, on the CPU.

    Args:
        weights: the file of torch-fidelity's weights; without one they are looked for where
            torch-fidelity keeps them (`torch.hub`'s folder) and downloaded.

    Raises:
        UserError: the file is not there, or is another one.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    except ImportError:
        return Missing(
            "FID and Inception Score need torch-fidelity; pip install 'drawscribe[evaluation]'."
        )
    if weights is not None:
        return _from_file(Path(weights), URL_INCEPTION_V3)
    try:
        with _time_limit(NO_ANSWER_SECONDS):
            state = torch.hub.load_state_dict_from_url(
                URL_INCEPTION_V3,
                map_location="cpu",
                progress=False,
                check_hash=True,
                weights_only=True,
            )
        return Inception(state)
    except Exception as error:  # no network, or whatever a damaged download makes torch raise
        return Missing(
            "FID and Inception Score need the Inception network of torch-fidelity, which could not "
            f"be had ({in_short(error)}); put {URL_INCEPTION_V3} on this machine and name the file "
            "with --inception-weights."
        )


def _from_file(path: Path, url: str) -> Inception:
    """Only the file that the address names by the beginning of its SHA-256, as torch.hub has it:
    other weights would give another network's figures under this one's name."""
    remedy = f"give the one from {url}."
    if not path.is_file():
        raise UserError(f"--inception-weights {path} is not a file; {remedy}")
    beginning = HASH_REGEX.search(Path(url).name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if beginning and not digest.startswith(beginning[1]):
        raise UserError(
            f"--inception-weights {path} is another file than torch-fidelity's, whose SHA-256 "
            f"begins with {beginning[1]}; {remedy}"
        )
    return Inception(torch.load(path, map_location="cpu", weights_only=True))


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """For the answers of sockets, for which torch would wait without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
