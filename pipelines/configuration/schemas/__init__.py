"""What a configuration file may say, section by section; each section is its owner's dataclass."""

from pipelines.configuration.schemas.bidirectional import BidirectionalRun
from pipelines.configuration.schemas.dual_encoder import DualEncoderRun
from pipelines.configuration.schemas.gan import GANRun
from pipelines.configuration.schemas.style_encoder import StyleEncoderRun
from pipelines.configuration.schemas.tokenizer import TokenizerRun

__all__ = ["BidirectionalRun", "DualEncoderRun", "GANRun", "StyleEncoderRun", "TokenizerRun"]
