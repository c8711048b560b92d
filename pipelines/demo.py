"""A page to draw, describe, ask and complete with a checkpoint.

    python pipelines/demo.py --checkpoint runs/quickstart/checkpoint

Only this machine can open it, unless `--host` says otherwise. It needs `pip install
'drawscribe[demo]'`.
"""

import argparse
import os
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import (
    CHECKPOINT,
    UserError,
    add_device_arguments,
    command,
    command_parser,
)
from pipelines.demo_page.limits import LOOPBACK


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help=f"{CHECKPOINT} of train_bidirectional.py"
    )
    parser.add_argument(
        "--host",
        default=LOOPBACK[0],
        help="where to listen; 0.0.0.0 lets everyone in who can reach this machine",
    )
    parser.add_argument(
        "--port", type=int, help="where to listen (default: the first free one from 7860 on)"
    )
    parser.add_argument(
        "--max-images", type=int, default=8, metavar="N", help="the most pictures drawn at once"
    )
    add_device_arguments(parser)
    return parser.parse_args(argv)


def name_of(checkpoint: str) -> str:
    """What a checkpoint is called: its run's folder, where it has one."""
    folder = Path(checkpoint).resolve()
    return folder.parent.name if folder.name == "checkpoint" else folder.name


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    if arguments.max_images < 1:
        raise UserError(f"--max-images is {arguments.max_images}; it must be at least 1.")
    if find_spec("gradio") is None:  # said before a checkpoint is read
        raise ModuleNotFoundError(name="gradio")
    pipe = BidirectionalPipeline.from_pretrained(
        arguments.checkpoint, arguments.device, arguments.dtype
    )
    if arguments.host not in LOOPBACK:
        print(f"warning: everyone who can reach {arguments.host} can use it.", file=sys.stderr)
    # So that uploads go however the server is asked to end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="drawscribe-uploads-") as uploads:
        # Read when gradio is imported. It tells no one about its visitors, and asks no one but
        # itself, whether it answers.
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        os.environ |= {"NO_PROXY": "*", "no_proxy": "*"}
        from pipelines.demo_page.layout import build_page
        from pipelines.demo_page.serving import serve

        page = build_page(pipe, name_of(arguments.checkpoint), arguments.max_images)
        serve(page, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
