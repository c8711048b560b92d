"""What every script shares: one sentence for a user's mistake, a traceback for a bug."""

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import torch

from pipelines.extras import refuse_missing

P = ParamSpec("P")

PROGRAM = "drawscribe-"
"""How the programs of an installed package begin: `drawscribe-generate-images`."""

CHECKPOINT = "a folder, or owner/name on the hub: the checkpoint"
"""What an option takes; whose it is follows."""


# Of a file that is not JSON, or is other JSON than it should be.
JSON_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class UserError(Exception):
    """A mistake of the user's: one sentence that names the thing and the remedy."""


def in_short(error: BaseException) -> str:
    """What a library says of a failure, in a line."""
    return " ".join(str(error).split())[:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or this machine had no room for a tensor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in words)


def command(main: Callable[P, None]) -> Callable[P, None]:
    """Wraps a script's `main(argv)`, so that its failures read well in a terminal.

    `UserError` becomes its sentence on stderr and exit code 2; so does a lack of memory, or of a
    package of our extras that `main` imports. An interrupt becomes exit code 130 and a closed
    stdout (`| head`) 141, all without a traceback.
    Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            main(*args, **kwargs)
            sys.stdout.flush()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except ModuleNotFoundError as error:
            refuse_missing(error)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            print(
                f"error: out of memory ({in_short(error)}); do less at once, or use a smaller "
                "model.",
                file=sys.stderr,
            )
            raise SystemExit(2) from None
        except BrokenPipeError:
            # Python flushes stdout once more at exit: let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise SystemExit(141) from None

    return run


def command_parser(text: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with `text`, a script's docstring, as it stands there."""
    return argparse.ArgumentParser(
        description=as_typed(text or "", sys.argv[0]),
        formatter_class=_HelpFormatter,
    )


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Adds to what an option is what it is without being given, where that says something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = as_typed(action.help or "", self._prog), action.default
        if isinstance(default, list):
            default = " ".join(default)
        says_nothing = default in (None, "", argparse.SUPPRESS) or action.nargs == 0
        return text if says_nothing else f"{text} (default: {default})"


def as_typed(text: str, program: str) -> str:
    """A text with the commands that are typed where the package is installed, and its scripts are
    programs of their own.

    Args:
        program: that runs; a script where the repository is at hand.
    """
    if not Path(program).name.startswith(PROGRAM):
        return text
    text = re.sub(
        r"accelerate launch pipelines/(\w+)\.py", r"accelerate launch -m pipelines.\1", text
    )
    text = re.sub(r"deepspeed pipelines/(\w+)\.py", r"deepspeed --module pipelines.\1", text)
    return re.sub(
        r"(?:python pipelines/)?\b(\w+)\.py\b",
        lambda found: PROGRAM + found[1].replace("_", "-"),
        text,
    )


LAST_SEED = 2**63 - 1


def check_seed(seed: int) -> None:
    """Refuses what the random number generators do not take.

    Raises:
        UserError: it is out of range.
    """
    if not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed}; it must be from 0 to {LAST_SEED}.")


def open_output(path: str) -> Path:
    """A new or empty folder for what a command writes.

    Raises:
        UserError: it has files already, or cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise UserError(f"the output folder {path} cannot be made ({error}).") from error
    if not empty:
        raise UserError(f"the output folder {path} is not empty; name a new one.")
    return folder


DTYPES = {
    "fp32": torch.float32,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
}


def dtype_name(dtype: torch.dtype) -> str:
    """The shorter of its names."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def device_and_dtype(
    device: str | None = None, dtype: str | None = None
) -> tuple[torch.device, torch.dtype]:
    """The device and number format to compute with.

    Args:
        device: `cuda`, `cuda:N`, `mps` or `cpu`; `None` takes the best present, in that order.
        dtype: a name of `DTYPES`; `None` takes bf16 on CUDA, fp32 elsewhere.

    Raises:
        UserError: the device is unknown or not present, or the dtype is unknown.
    """
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}.")
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present[:0] = ["cuda", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    if device is not None and device not in present:
        raise UserError(
            f"device {device!r} is not present on this machine; it has {', '.join(present)}."
        )
    chosen = torch.device(device or present[0])
    default = torch.bfloat16 if chosen.type == "cuda" else torch.float32
    return chosen, DTYPES[dtype] if dtype else default


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """`--device`, to be read by `device_and_dtype`."""
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best present)")


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """`--device` and `--dtype`, to be read by `device_and_dtype`."""
    add_device_argument(parser)
    parser.add_argument("--dtype", help="fp32, bf16 or fp16 (default: bf16 on CUDA, else fp32)")


def add_decoder_argument(parser: argparse._ActionsContainer) -> None:
    """`--decoder`: what paints, None where the command line is silent."""
    parser.add_argument(
        "--decoder",
        choices=("codebook", "hidden"),
        help="paint from ids, or from hidden states (the default after end-to-end training)",
    )


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """How pictures are drawn, to be read by `sampling_given`."""
    settings = parser.add_argument_group("sampling (default: what the checkpoint recommends)")
    settings.add_argument("--temperature", type=float, help="0 takes the likeliest ids")
    settings.add_argument("--top-k", type=int, help="draw from the K likeliest ids; 0 from all")
    settings.add_argument("--top-p", type=float, help="draw from the likeliest ids that make up P")
    settings.add_argument("--guidance-scale", type=float, help="1 is none; more follows the prompt")


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a command that writes texts about pictures: the checkpoint, the pictures, `--seed`, and
    how texts are written, to be read by `text_given`."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help=f"{CHECKPOINT} of train_bidirectional.py"
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a picture of any size")
    parser.add_argument(
        "--num-beams",
        type=int,
        default=1,
        help="how many texts a beam search follows; 1 does without a search",
    )
    parser.add_argument(
        "--length-penalty",
        type=float,
        default=1.0,
        help="above 0 a beam search favours longer texts",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        help="the most tokens of a text, its end included (default: all that fit)",
    )
    parser.add_argument(
        "--min-length", type=int, default=1, help="the fewest tokens of a text, its end included"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.0, help="0 takes the likeliest token"
    )
    parser.add_argument(
        "--top-k", type=int, default=0, help="draw from the K likeliest tokens; 0 from all"
    )
    parser.add_argument(
        "--top-p", type=float, default=1.0, help="draw from the likeliest tokens that make up P"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same texts")


def text_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a command line by the names of `CaptionSettings`."""
    names = ("num_beams", "length_penalty", "max_length", "min_length", "temperature", "top_k")
    return {name: getattr(arguments, name) for name in (*names, "top_p")}


def sampling_given(arguments: argparse.Namespace) -> dict[str, float | None]:
    """The sampling settings of a command line by name, None where it is silent."""
    names = ("temperature", "top_k", "top_p", "guidance_scale")
    return {name: getattr(arguments, name) for name in names}
