"""A small image-text dual encoder: measures and chooses pictures, and trains no generator."""
