"""The contrasts of pictures that are painted after given ones: a tokenizer's reconstructions, and
those of end-to-end training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gan.contrasts import Contrasts, PictureVectors
from gan.settings import ContrastSettings
from gan.terms import AllProcesses, Batch, Terms, row_numbers
from gan.text_encoders import TextBatch, TextEncoder


@dataclass(frozen=True)
class Said:
    """Of the pictures of a batch: their `texts` encoded, and numbers `groups` [b] that are equal
    where texts are; None without."""

    texts: TextBatch | None
    groups: Tensor | None


class PaintingContrasts:
    """What a discriminator sees in given pictures and in those painted after them; for
    `vq.ReconstructionGame`, beside a `ContrastingDiscriminator`.

    The picture painted after a given one, and that one, share its text.

    Args:
        settings: weights.
        processes: of the global batch; the pictures of a micro-batch, of all processes, are
            compared.
        text_encoder: stays as it is; needed for contrasts with texts.
    """

    def __init__(
        self,
        settings: ContrastSettings,
        processes: AllProcesses,
        text_encoder: TextEncoder | None = None,
    ) -> None:
        self.contrasts, self.text_encoder = Contrasts(settings, processes), text_encoder

    @property
    def with_real(self) -> bool:
        """Whether painted pictures are compared with given ones."""
        return self.contrasts.settings.real_fake_weight > 0

    @torch.no_grad()
    def read(self, batch: Batch) -> Said:
        """What `of_real` and `of_painted` take: of `encoder_text_ids` [b, length] and
        `encoder_text_length` [b] with a text encoder; without one only which texts are the same,
        of `text_ids` and `text_length`, where they are there."""
        names = ("encoder_text_ids", "encoder_text_length")
        if self.text_encoder is not None:
            ids, length = (batch[name] for name in names)
            return Said(self.text_encoder(ids, length), row_numbers(ids, length))
        if "text_ids" in batch:
            ids, length = batch["text_ids"], batch["text_length"]
            # Pictures without a caption ([CLS] and [SEP] alone) do not say the same.
            own = (
                -1
                - torch.arange(len(ids), device=ids.device)
                - len(ids) * self.contrasts.processes.rank
            )
            return Said(None, row_numbers(ids, length).where(length > 2, own))
        return Said(None, None)

    def of_real(self, pictures: PictureVectors, said: Said) -> Terms:
        """What given pictures teach the discriminator's heads."""
        return self.contrasts.of_pictures(pictures, said.texts, said.groups)

    def of_painted(self, painted: PictureVectors, real: PictureVectors | None, said: Said) -> Terms:
        """What they teach the generator; `real` where there is a contrast `with_real` ones."""
        terms = self.contrasts.of_pictures(painted, said.texts, said.groups)
        if real is not None:
            terms |= self.contrasts.real_fake(painted.image, real.image, said.groups)
        return terms
