"""Checkpoints on the Hugging Face hub: pulled, described by a model card, and pushed."""
