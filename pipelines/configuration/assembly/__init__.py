"""Configurations -> objects: the one place where vq, unified_transformer and gan meet."""

from pipelines.configuration.assembly.bidirectional import bidirectional_task
from pipelines.configuration.assembly.dual_encoder import dual_encoder_task, text_encoder_run
from pipelines.configuration.assembly.gan import gan_task
from pipelines.configuration.assembly.run_folder import (
    refuse_another,
    refuse_another_model,
    refuse_other_players,
    run_text_tokenizer,
)
from pipelines.configuration.assembly.style_encoder import style_encoder_task
from pipelines.configuration.assembly.tokenizer import tokenizer_task

__all__ = [
    "bidirectional_task",
    "dual_encoder_task",
    "gan_task",
    "refuse_another",
    "refuse_another_model",
    "refuse_other_players",
    "run_text_tokenizer",
    "style_encoder_task",
    "text_encoder_run",
    "tokenizer_task",
]
