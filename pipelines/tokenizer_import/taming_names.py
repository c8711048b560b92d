"""Weights by the names of taming-transformers -> a VQGAN of ours.

Its layout is the common ground: what others have is renamed into it (see `kinds`). Everything about
the shape is read off the weights, so that no configuration has to be named, nor fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import einsum, rearrange

from pipelines.command_line import UserError, in_short
from pipelines.tokenizer_import.weights import Weights
from vq import VQGAN, VQGANConfig
from vq.blocks import ResidualBlock, SelfAttention

NOT_OF_INFERENCE = (
    "loss.",
    "model_ema.",
    "quantize.codebook_used",
    "quantize.embedding.cluster_size",
    "quantize.embedding.embed_avg",
    "quantize.embedding.initted",
)
"""How names begin that are of training: discriminator, LPIPS, averages, statistics of codes."""


NOT_A_VQGANS = (ValueError, IndexError, TypeError, ZeroDivisionError, RuntimeError)
"""What shapes raise that no VQGAN has."""


@dataclass(frozen=True)
class Imported:
    """A tokenizer that was taken over.

    Attributes:
        vqgan: in evaluation mode, on the CPU.
        decoder_is_new: it has random weights, since there were none.
    """

    vqgan: VQGAN
    decoder_is_new: bool


def to_vqgan(weights: Weights, cosine: bool, source: str) -> Imported:
    """The VQGAN that has these weights.

    Args:
        weights: by the names of taming-transformers; without a decoder's, ours is a new one.
        cosine: whether codes and vectors are compared on the unit sphere, which weights do not say.
        source: of the weights, for the user.

    Raises:
        UserError: they are no VQGAN's, or of one that is built otherwise than ours.
    """
    try:
        config, own = translate(weights, cosine)
    except KeyError as error:
        raise _unlike(source, f"{error.args[0]} is missing") from None
    except NOT_A_VQGANS as error:
        raise _unlike(source, in_short(error)) from error
    vqgan = VQGAN(config)
    vqgan.load_state_dict(own, strict=False)
    return Imported(vqgan.eval(), decoder_is_new=not has_decoder(weights))


def translate(weights: Weights, cosine: bool) -> tuple[VQGANConfig, Weights]:
    """The shape of the VQGAN that has these weights, and they by our names.

    Raises:
        KeyError: one is missing.
        Those of `NOT_A_VQGANS`: they are of something else.
    """
    theirs = {
        name: tensor.float()
        for name, tensor in weights.items()
        if not name.startswith(NOT_OF_INFERENCE)
    }
    config = read_config(theirs, cosine)
    with torch.device("meta"):
        vqgan = VQGAN(config)
    own, used = _code_weights(theirs, config)
    for layer, their_layer in _layers(config, has_decoder(theirs)):
        for name, parts in _parts(vqgan.get_submodule(layer), layer, their_layer):
            tensors = [theirs[part] for part in parts]
            own[name] = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
            used.update(parts)
    if not has_decoder(theirs):
        used |= {name for name in theirs if name.startswith("post_quant_conv.")}
    if others := sorted(theirs.keys() - used):
        raise ValueError(f"it has {others[0]} as well")
    expected = vqgan.state_dict()
    for name, tensor in own.items():
        if expected[name].shape != tensor.shape:
            shapes = f"{list(tensor.shape)} and not {list(expected[name].shape)}"
            raise ValueError(f"what would be {name} is {shapes}")
    return config, own


def read_config(weights: Weights, cosine: bool) -> VQGANConfig:
    """The shape that the weights have.

    Raises:
        As `translate`.
    """
    gumbel = "quantize.embed.weight" in weights
    codes = weights["quantize.embed.weight" if gumbel else "quantize.embedding.weight"]
    levels = _count(weights, "encoder.down.{}.block.0.conv1.weight")
    widths = [len(weights[f"encoder.down.{level}.block.0.conv1.weight"]) for level in range(levels)]
    base, image_channels = weights["encoder.conv_in.weight"].shape[:2]
    if not widths or widths[0] != base or any(width % base for width in widths):
        raise ValueError(f"its levels are {widths} wide after a first layer of {base}")
    attends = [f"encoder.down.{level}.attn.0.q.weight" in weights for level in range(levels)]
    if attends != sorted(attends):
        raise ValueError("it has attention in an upper level, and not in all below")
    return VQGANConfig(
        image_channels=image_channels,
        base_channels=base,
        channel_multipliers=tuple(width // base for width in widths),
        residual_blocks=_count(weights, "encoder.down.0.block.{}.conv1.weight"),
        attention_levels=sum(attends),
        middle_attention="encoder.mid.attn_1.q.weight" in weights,
        latent_channels=len(weights["encoder.conv_out.weight"]),
        quantizer="gumbel" if gumbel else "nearest",
        codebook_size=codes.shape[0],
        code_dim=codes.shape[1],
        codebook_distance="cosine" if cosine else "euclidean",
        codebook_update="gradient",
        codebook_start="random",
        # Rare codes of a large codebook are unused for longer than a small run's dead ones.
        revive_after_steps=0,
    )


def has_decoder(weights: Weights) -> bool:
    return any(name.startswith("decoder.") for name in weights)


def _layers(config: VQGANConfig, decoder: bool) -> Iterator[tuple[str, str]]:
    """Layers with weights: our name, and theirs."""
    levels = range(len(config.channel_multipliers))
    middle = ["mid.block_1", *["mid.attn_1"] * config.middle_attention, "mid.block_2"]

    def level_layers(place: str, level: int, blocks: int, last: str) -> list[str]:
        attends = level >= len(levels) - config.attention_levels
        found = []
        for block in range(blocks):
            found += [f"{place}.block.{block}", *[f"{place}.attn.{block}"] * attends]
        return [*found, f"{place}.{last}"]

    down, up = [], []
    for level in levels:
        down += level_layers(f"down.{level}", level, config.residual_blocks, "downsample")
    for level in reversed(levels):
        up += level_layers(f"up.{level}", level, config.residual_blocks + 1, "upsample")
    # The last level of either changes the size no more.
    coders = {"encoder": [*down[:-1], *middle]} | (
        {"decoder": [*middle, *up[:-1]]} if decoder else {}
    )
    for coder, layers in coders.items():
        for number, theirs in enumerate(layers):
            yield f"{coder}.layers.{number}", f"{coder}.{theirs}"
        for name in ("conv_in", "norm_out", "conv_out"):
            yield f"{coder}.{name}", f"{coder}.{name}"
    if decoder:
        yield "decoder.from_code", "post_quant_conv"


def _parts(layer: torch.nn.Module, own: str, theirs: str) -> Iterator[tuple[str, list[str]]]:
    """Weights of a layer: our name, and the names of what it is made of."""
    if isinstance(layer, SelfAttention):
        inner = {"norm": ["norm"], "to_qkv": ["q", "k", "v"], "to_out": ["proj_out"]}
    elif isinstance(layer, ResidualBlock):
        inner = {name: [name] for name in ("norm1", "conv1", "norm2", "conv2")}
        if list(layer.shortcut.parameters()):
            inner["shortcut"] = ["nin_shortcut"]
    elif hasattr(layer, "conv"):  # Downsample, Upsample
        inner = {"conv": ["conv"]}
    else:
        inner = {"": [""]}
    for name, parts in inner.items():
        for kind in ("weight", "bias"):
            prefix = f"{own}.{name}".rstrip(".")
            yield (
                f"{prefix}.{kind}",
                [f"{theirs}.{part}".rstrip(".") + f".{kind}" for part in parts],
            )


def _code_weights(weights: Weights, config: VQGANConfig) -> tuple[Weights, set[str]]:
    """The codebook and what leads to it by our names, and the names of what they are made of."""
    kernel, bias = weights["quant_conv.weight"], weights["quant_conv.bias"]
    used = {"quant_conv.weight", "quant_conv.bias"}
    if config.quantizer == "nearest":
        codes = weights["quantize.embedding.weight"]
        used |= {"quantize.embedding.weight"}
    else:
        # Two layers 1 x 1 without anything between them are one.
        codes = weights["quantize.embed.weight"]
        logits = rearrange(weights["quantize.proj.weight"], "k c 1 1 -> k c")
        bias = logits @ bias + weights["quantize.proj.bias"]
        kernel = einsum(logits, kernel, "k c, c z i j -> k z i j")
        used |= {"quantize.embed.weight", "quantize.proj.weight", "quantize.proj.bias"}
    own = {
        "encoder.to_code.weight": kernel,
        "encoder.to_code.bias": bias,
        "quantizer.codebook": codes,
    }
    return own, used


def _count(weights: Weights, pattern: str) -> int:
    number = 0
    while pattern.format(number) in weights:
        number += 1
    return number


def _unlike(source: str, what: str) -> UserError:
    return UserError(
        f"the weights in {source} are not of a VQGAN that can be taken over ({what}); --kind says "
        "whose they are."
    )
