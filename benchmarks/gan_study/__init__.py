"""One-stage GANs and the two-stage system, side by side, and what each GAN's own idea is worth."""
