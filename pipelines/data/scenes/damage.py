"""The fixed damage that the reader must read through: blur, noise, JPEG.

It stands for what a right drawing may suffer: a tokenizer's softness, a file's compression. The
reader's thresholds are the strictest that pass all of 10,000 scenes so damaged (`calibration.py`).
"""

import io

import numpy as np
from PIL import Image, ImageFilter

BLUR_SIGMA = 0.8 / 64  # in shorter sides: 0.8 pixels of a picture of 64
NOISE_SIGMA = 8.0  # of 255
JPEG_QUALITY = 75  # with the usual halved colour resolution (4:2:0)


def damage(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blurs, adds Gaussian noise and compresses. uint8 [h, w, 3] -> uint8 [h, w, 3]."""
    height, width = pixels.shape[:2]
    blur = ImageFilter.GaussianBlur(BLUR_SIGMA * min(height, width))
    blurred = np.asarray(Image.fromarray(pixels).filter(blur), dtype=np.float32)
    noisy = blurred + NOISE_SIGMA * rng.standard_normal(pixels.shape, dtype=np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy + 0.5, 0, 255).astype(np.uint8)).save(
        file, format="JPEG", quality=JPEG_QUALITY, subsampling="4:2:0"
    )
    return np.asarray(Image.open(file).convert("RGB"))
