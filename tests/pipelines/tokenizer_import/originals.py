"""The tokenizers of taming-transformers and LlamaGen as functions of their weights, written anew
from what their code does, and weights of their layout, small and random."""

import json
import math
from pathlib import Path

import torch
from torch.nn import functional as F

LAYOUTS = Path(__file__).with_name("layouts")
"""Names and shapes of published models' weights, as their own code lists them."""


def layout(name: str) -> dict[str, list[int]]:
    return json.loads((LAYOUTS / f"{name}.json").read_text())


def small_weights(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """A quarter as wide, and of 64 codes."""
    torch.manual_seed(seed)
    (codes,) = {shape[0] for key, shape in layout(name).items() if key.startswith("quantize.emb")}

    def small(size: int) -> int:
        return 64 if size == codes else size // 4 if size >= 128 else size

    weights = {}
    for key, shape in layout(name).items():
        shape = [small(size) for size in shape]
        around = 1.0 if "norm" in key and key.endswith("weight") else 0.0
        spread = 1.0 if key in ("quantize.embedding.weight", "quantize.embed.weight") else 0.1
        if len(shape) > 1 and not key.startswith("quantize.e"):
            spread = 1 / math.sqrt(math.prod(shape[1:]))
        weights[key] = around + spread * torch.randn(shape)
    return weights


class Original:
    """
    Args:
        weights: by the names of their project.
        project: "taming" or "llamagen".
    """

    def __init__(self, weights: dict[str, torch.Tensor], project: str) -> None:
        self.weights, self.llamagen = weights, project == "llamagen"

    def ids(self, pixels: torch.Tensor) -> torch.Tensor:
        """[b, 3, H, W] -> [b, h, w]"""
        vectors = self.conv("quant_conv", self.encoder(pixels)).permute(0, 2, 3, 1)
        if "quantize.proj.weight" in self.weights:
            logits = vectors @ self.weights["quantize.proj.weight"][:, :, 0, 0].T
            return (logits + self.weights["quantize.proj.bias"]).argmax(-1)
        codes = self.codes()
        if self.llamagen:
            vectors = vectors / vectors.norm(dim=-1, keepdim=True)
        return (vectors[..., None, :] - codes).square().sum(-1).argmin(-1)

    def pixels(self, ids: torch.Tensor) -> torch.Tensor:
        """[b, h, w] -> [b, 3, H, W]"""
        return self.decoder(self.conv("post_quant_conv", self.codes()[ids].permute(0, 3, 1, 2)))

    def codes(self) -> torch.Tensor:
        found = [self.weights.get(f"quantize.{name}.weight") for name in ("embedding", "embed")]
        codes = next(one for one in found if one is not None)
        return codes / codes.norm(dim=-1, keepdim=True) if self.llamagen else codes

    def encoder(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv("encoder.conv_in", x)
        stage = "encoder.conv_blocks" if self.llamagen else "encoder.down"
        for level in self.numbers(stage):
            x = self.level(f"{stage}.{level}", x)
            if f"{stage}.{level}.downsample.conv.weight" in self.weights:
                # Padded by one right and below alone.
                padded = F.pad(x, (0, 1, 0, 1))
                x = self.conv(f"{stage}.{level}.downsample.conv", padded, stride=2, padding=0)
        return self.out("encoder", self.middle("encoder", x))

    def decoder(self, x: torch.Tensor) -> torch.Tensor:
        x = self.middle("decoder", self.conv("decoder.conv_in", x))
        # LlamaGen counts from the lowest resolution on, taming from the highest.
        stage = "decoder.conv_blocks" if self.llamagen else "decoder.up"
        levels = self.numbers(stage)
        for level in levels if self.llamagen else reversed(levels):
            x = self.level(f"{stage}.{level}", x)
            if f"{stage}.{level}.upsample.conv.weight" in self.weights:
                x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
                x = self.conv(f"{stage}.{level}.upsample.conv", x)
        return self.out("decoder", x)

    def level(self, name: str, x: torch.Tensor) -> torch.Tensor:
        blocks = f"{name}.res" if self.llamagen else f"{name}.block"
        for number in self.numbers(blocks):
            x = self.block(f"{blocks}.{number}", x)
            if f"{name}.attn.{number}.q.weight" in self.weights:
                x = self.attention(f"{name}.attn.{number}", x)
        return x

    def middle(self, coder: str, x: torch.Tensor) -> torch.Tensor:
        first, attention, second = (0, 1, 2) if self.llamagen else ("block_1", "attn_1", "block_2")
        x = self.block(f"{coder}.mid.{first}", x)
        x = self.attention(f"{coder}.mid.{attention}", x)
        return self.block(f"{coder}.mid.{second}", x)

    def out(self, coder: str, x: torch.Tensor) -> torch.Tensor:
        return self.conv(f"{coder}.conv_out", F.silu(self.norm(f"{coder}.norm_out", x)))

    def block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        hidden = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x)))
        hidden = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", hidden)))
        if f"{name}.nin_shortcut.weight" in self.weights:
            x = self.conv(f"{name}.nin_shortcut", x)
        return x + hidden

    def attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(f"{name}.norm", x)
        q, k, v = (self.conv(f"{name}.{part}", normed).flatten(2) for part in "qkv")
        weights = (q.transpose(1, 2) @ k / math.sqrt(q.shape[1])).softmax(dim=-1)
        attended = (v @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.conv(f"{name}.proj_out", attended)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.group_norm(x, 32, weight, bias, eps=1e-6)

    def conv(
        self, name: str, x: torch.Tensor, stride: int = 1, padding: int | None = None
    ) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        padding = weight.shape[-1] // 2 if padding is None else padding
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    def numbers(self, name: str) -> list[int]:
        found = {key[len(name) + 1 :].split(".")[0] for key in self.weights if f"{name}." in key}
        return sorted(map(int, found))
