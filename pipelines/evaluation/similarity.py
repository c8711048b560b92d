"""How like their originals reconstructions are: PSNR, SSIM and LPIPS, picture by picture."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from pipelines.command_line import UserError
from pipelines.evaluation.figures import Figure, Missing
from pipelines.evaluation.streaming import StreamedSums
from vq import PerceptualLoss, PerceptualLossSettings, build_perceptual_loss, psnr

AT_ONCE = 16
SSIM_WINDOW = 11
# The shortest side in pixels that leaves the last compared layer something to see.
LPIPS_SMALLEST = {"vgg": 16, "alex": 31, "squeeze": 17}


@dataclass(frozen=True)
class SimilarityFigures:
    """Means over pictures.

    `psnr`: dB, as `vq.psnr` (at most 106, of a picture without any error). `ssim`: from -1 to 1 for
    equal pictures (Wang et al. 2004), as torchmetrics computes it on channels from 0 to 1: a
    Gaussian window of 11 x 11 with a standard deviation of 1.5, edges mirrored, mean over channels.
    `lpips`: from 0 for equal pictures (Zhang et al., 1801.03924).
    """

    psnr: Figure
    ssim: Figure
    lpips: Figure


class Similarity(StreamedSums):
    """PSNR, SSIM and LPIPS of pictures of any one size.

    Args:
        lpips: the network, on any device, or why there is none.
    """

    psnr: Tensor
    ssim: Tensor
    lpips: Tensor
    count: Tensor
    too_small_for_ssim: Tensor
    too_small_for_lpips: Tensor

    def __init__(self, lpips: PerceptualLoss | Missing) -> None:
        super().__init__(
            psnr=(), ssim=(), lpips=(), count=(), too_small_for_ssim=(), too_small_for_lpips=()
        )
        self.network = lpips

    @torch.no_grad()
    def update(self, made: Tensor, real: Tensor) -> None:
        """Adds pictures and their originals, both [n, 3, height, width]: uint8, or floats in
        [-1, 1] (what is beyond is clamped)."""
        for some, originals in zip(made.split(AT_ONCE), real.split(AT_ONCE), strict=True):
            self._add(_as_floats(some.to(self.device)), _as_floats(originals.to(self.device)))

    def _add(self, made: Tensor, real: Tensor) -> None:
        self.count += len(made)
        self.psnr += self.double_here(psnr(made, real)).sum()
        shortest = min(made.shape[2:])
        if shortest < SSIM_WINDOW:
            self.too_small_for_ssim += len(made)
        else:
            # SSIM compares means as well, so it takes brightness, from 0 on.
            ratios = structural_similarity_index_measure(
                (made + 1) / 2, (real + 1) / 2, data_range=1.0, reduction="none"
            )
            assert isinstance(ratios, Tensor)  # nothing else was asked for
            self.ssim += self.double_here(ratios).sum()
        if isinstance(self.network, Missing):
            return
        if shortest < LPIPS_SMALLEST[self.network.lpips.pnet_type]:
            self.too_small_for_lpips += len(made)
        else:
            device = next(self.network.parameters()).device
            self.lpips += self.double_here(self.network(made.to(device), real.to(device))).sum()

    def figures(self) -> SimilarityFigures:
        sums = self.sums()
        if sums["count"] == 0:
            missing = Missing("there were no pictures to compare.")
            return SimilarityFigures(missing, missing, missing)
        means = {name: (sums[name] / sums["count"]).item() for name in ("psnr", "ssim", "lpips")}
        ssim: Figure = means["ssim"]
        lpips: Figure = self.network if isinstance(self.network, Missing) else means["lpips"]
        if sums["too_small_for_ssim"] > 0:
            ssim = Missing(
                f"SSIM compares windows of {SSIM_WINDOW} pixels, and the pictures are smaller."
            )
        if sums["too_small_for_lpips"] > 0:
            lpips = Missing("the pictures are too small for LPIPS' network.")
        return SimilarityFigures(means["psnr"], ssim, lpips)


def load_lpips(backbone: str = "vgg", weights: str = "pretrained") -> PerceptualLoss | Missing:
    """LPIPS' network, on the CPU.

    Args:
        backbone: vgg, alex or squeeze; figures compare at the same one alone.
        weights: "pretrained" (torchvision's, downloaded once), or the path of that state dict.

    Raises:
        UserError: the file is not there, or holds something else.
    """
    if weights == "random":
        raise UserError('LPIPS with "random" weights is no LPIPS; give --lpips-weights a file.')
    log = logging.getLogger("vq.losses")
    before = log.level
    log.setLevel(logging.ERROR)  # it would say what training does without
    try:
        settings = PerceptualLossSettings(backbone, weights, "none")  # type: ignore[arg-type]
        network = build_perceptual_loss(settings)
    except ImportError:
        return Missing("LPIPS needs lpips and torchvision; pip install 'drawscribe[evaluation]'.")
    except (FileNotFoundError, ValueError) as error:
        raise UserError(f"--lpips-weights: {error}") from error
    finally:
        log.setLevel(before)
    return network or Missing(
        f"LPIPS needs torchvision's {backbone} weights, which could not be downloaded; put their "
        ".pth file on this machine and name it with --lpips-weights."
    )


def _as_floats(pictures: Tensor) -> Tensor:
    """float32 in [-1, 1]."""
    if pictures.dtype == torch.uint8:
        return pictures.float() / 127.5 - 1
    return pictures.float().clamp(-1, 1)
