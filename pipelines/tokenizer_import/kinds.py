"""Whose tokenizers can be taken over: each kind's file or folder -> weights by taming's names."""

import re
from collections.abc import Callable
from pathlib import Path

from einops import rearrange

from pipelines.command_line import UserError
from pipelines.tokenizer_import.taming_names import Imported, to_vqgan
from pipelines.tokenizer_import.weights import Weights, read_folder, read_json, state_dict_in

FIRST_STAGE = "first_stage_model."
"""How the names of a tokenizer begin in a latent diffusion."""


def taming(path: Path) -> Imported:
    """taming-transformers (VQModel, GumbelVQ, EMAVQ), and latent-diffusion's VQModelInterface: a
    checkpoint of Lightning's, its own or that of a whole latent diffusion. Codes are nearest by
    Euclid, or those of the largest logit."""
    weights = state_dict_in(path, ("state_dict",))
    first_stage = {
        name.removeprefix(FIRST_STAGE): tensor
        for name, tensor in weights.items()
        if name.startswith(FIRST_STAGE)
    }
    return to_vqgan(first_stage or weights, cosine=False, source=str(path))


def llamagen(path: Path) -> Imported:
    """LlamaGen's VQ-8 and VQ-16: codes of unit length."""
    weights = state_dict_in(path, ("ema", "model", "state_dict"))
    levels = _levels(weights, "decoder.conv_blocks")
    if not levels:
        # Taming's names would pass through as they are, and their codes be compared by cosine.
        raise UserError(
            f"the weights in {path} have no decoder.conv_blocks, as LlamaGen's do; those of "
            "taming-transformers are taken over with --kind taming."
        )
    renamed = {_from_llamagen(name, levels): tensor for name, tensor in weights.items()}
    return to_vqgan(renamed, cosine=True, source=str(path))


def _from_llamagen(name: str, levels: int) -> str:
    name = _level(name, r"encoder\.conv_blocks\.(\d+)", "encoder.down", levels)
    name = _level(name, r"decoder\.conv_blocks\.(\d+)", "decoder.up", levels)
    name = re.sub(r"\.res\.(\d+)\.", r".block.\1.", name)
    for number, middle in enumerate(("block_1", "attn_1", "block_2")):
        name = name.replace(f".mid.{number}.", f".mid.{middle}.")
    return name


def diffusers(path: Path) -> Imported:
    """A `VQModel` of diffusers: the folder with its config.json.

    Raises:
        UserError: it has parts that ours has not.
    """
    pipelines_own = path / "vqvae"
    if not (path / "config.json").is_file() and (pipelines_own / "config.json").is_file():
        raise UserError(f"{path} is a whole pipeline of diffusers; name its {pipelines_own}.")
    config = read_json(path / "config.json")
    if config.get("_class_name", "VQModel") != "VQModel":
        raise UserError(f"{path} holds a {config['_class_name']} of diffusers, and no VQModel.")
    for name, usual in (("norm_type", "group"), ("act_fn", "silu"), ("norm_num_groups", 32)):
        if config.get(name, usual) != usual:
            raise UserError(
                f"the VQModel in {path} has {name} {config[name]!r}, and only {usual!r} can be "
                "taken over."
            )
    weights = read_folder(path, "diffusion_pytorch_model")
    levels = _levels(weights, "decoder.up_blocks")
    renamed = {_from_diffusers(name, levels): tensor for name, tensor in weights.items()}
    for name, tensor in renamed.items():
        if re.search(r"attn.*\.(q|k|v|proj_out)\.weight$", name) and tensor.ndim == 2:
            renamed[name] = rearrange(tensor, "out c -> out c 1 1")
    return to_vqgan(renamed, cosine=False, source=str(path))


_DIFFUSERS_PARTS = {
    r"\.resnets\.(\d+)\.": r".block.\1.",
    r"\.attentions\.(\d+)\.": r".attn.\1.",
    r"\.downsamplers\.0\.": ".downsample.",
    r"\.upsamplers\.0\.": ".upsample.",
    r"\.mid_block\.block\.0\.": ".mid.block_1.",
    r"\.mid_block\.block\.1\.": ".mid.block_2.",
    r"\.mid_block\.attn\.0\.": ".mid.attn_1.",
    r"\.conv_norm_out\.": ".norm_out.",
    r"\.conv_shortcut\.": ".nin_shortcut.",
    r"\.group_norm\.": ".norm.",
    r"\.(to_q|query)\.": ".q.",
    r"\.(to_k|key)\.": ".k.",
    r"\.(to_v|value)\.": ".v.",
    r"\.(to_out\.0|proj_attn)\.": ".proj_out.",
}
"""In this order; some attention layers still bear the names of older versions."""


def _from_diffusers(name: str, levels: int) -> str:
    name = _level(name, r"encoder\.down_blocks\.(\d+)", "encoder.down", levels)
    name = _level(name, r"decoder\.up_blocks\.(\d+)", "decoder.up", levels)
    for pattern, replacement in _DIFFUSERS_PARTS.items():
        name = re.sub(pattern, replacement, name)
    return name


def chameleon(path: Path) -> Imported:
    """The image tokenizer of a Chameleon checkpoint of transformers: the folder of the whole
    model, or of a `ChameleonVQVAE` alone. The decoder is a new one where transformers left it out.
    """
    whole = read_json(path / "config.json").get("model_type") != "chameleon_vqgan"
    weights = read_folder(path, "model", lambda name: "vqmodel." in name or not whole)
    weights = {name.rpartition("vqmodel.")[2]: tensor for name, tensor in weights.items()}
    return to_vqgan(weights, cosine=False, source=str(path))


def _levels(weights: Weights, stage: str) -> int:
    """How many levels are numbered in the names that begin with the stage's."""
    found = (re.match(rf"{re.escape(stage)}\.(\d+)\.", name) for name in weights)
    return 1 + max((int(level[1]) for level in found if level), default=-1)


def _level(name: str, pattern: str, to: str, levels: int) -> str:
    """Levels of a decoder are counted from the lowest resolution on, by taming from the highest."""

    def renamed(found: re.Match[str]) -> str:
        number = int(found[1])
        return f"{to}.{levels - 1 - number if to == 'decoder.up' else number}"

    return re.sub(f"^{pattern}", renamed, name)


KINDS: dict[str, Callable[[Path], Imported]] = {
    "taming": taming,
    "llamagen": llamagen,
    "diffusers": diffusers,
    "chameleon": chameleon,
}
