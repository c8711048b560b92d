"""Noise, and a text where there is one -> a picture."""

from gan.generators.config import GeneratorConfig, GeneratorShape, MemoryShape
from gan.generators.generator import Generator

__all__ = ["Generator", "GeneratorConfig", "GeneratorShape", "MemoryShape"]
