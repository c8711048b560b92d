"""DALLE-pytorch beside ours, at the shape of its measured figures.

Its code is not a dependency and none of it is here. To run a benchmark beside it:

    git clone https://github.com/lucidrains/DALLE-pytorch
    pip install --no-deps axial_positional_embedding rotary-embedding-torch beartype
    pip install ftfy regex requests omegaconf
    python benchmarks/training_step.py --dalle-pytorch DALLE-pytorch

Two modules that it imports and that no longer install (`taming`, `pkg_resources`) are stood in for;
what is measured does not use them.
"""

import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

SPARSE = ("axial_row", "axial_col", "axial_row", "conv_like")
DENSE = ("full",)


def import_dalle_pytorch(folder: str) -> types.ModuleType:
    """Its package, from a clone of its repository."""
    if not (Path(folder) / "dalle_pytorch" / "transformer.py").is_file():
        raise SystemExit(f"{folder} is no clone of DALLE-pytorch; see {__file__}.")
    stand_ins: dict[str, dict[str, Any]] = {
        "pkg_resources": {"get_distribution": lambda name: types.SimpleNamespace(version="0")},
        "taming": {},
        "taming.models": {},
        "taming.models.vqgan": {"VQModel": object, "GumbelVQ": object},
    }
    for name, members in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules.setdefault(name, module)
    sys.path.insert(0, folder)
    return import_module("dalle_pytorch")


def build(folder: str, side: int, attention: tuple[str, ...], for_inference: bool = False) -> Any:
    """Its model with dim 256, depth 4, heads 4, text 64 over a `side` x `side` grid of 1,024 codes;
    the picture tokenizer is never run."""
    package = import_dalle_pytorch(folder)
    vae = package.DiscreteVAE(
        image_size=4 * side, num_tokens=1024, codebook_dim=32, num_layers=2, hidden_dim=8
    )
    return package.DALLE(
        dim=256,
        vae=vae,
        num_text_tokens=1000,
        text_seq_len=64,
        depth=4,
        heads=4,
        dim_head=64,
        attn_types=attention,
        shift_tokens=False,
        rotary_emb=True,
        optimize_for_inference=for_inference,
    )


def parameters(model: nn.Module) -> int:
    """Of the transformer, without the picture tokenizer."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith("vae."))


def sample_with_cache(model: Any, text: torch.Tensor) -> torch.Tensor:
    """Its `generate_images` with the cache that it drops at guidance 1 handed through, and without
    decoding pixels: ids [batch, n]."""
    cache: dict[str, Any] = {}
    image = text.new_empty(len(text), 0)
    for _ in range(model.image_seq_len):
        logits = model(text, image, cache=cache)[:, -1, model.num_text_tokens :]
        noise = -torch.log(-torch.log(torch.rand_like(logits)))
        image = torch.cat([image, (logits + noise).argmax(-1, keepdim=True)], dim=1)
    return image


def sample_as_shipped(model: Any, text: torch.Tensor, ids: int) -> None:
    """Its own `generate_images` for the first `ids` ids; decoding pixels left out."""
    image = text.new_empty(len(text), 0)
    for _ in range(ids):
        logits = model.forward_with_cond_scale(text, image)[:, -1, model.num_text_tokens :]
        noise = -torch.log(-torch.log(torch.rand_like(logits)))
        image = torch.cat([image, (logits + noise).argmax(-1, keepdim=True)], dim=1)
