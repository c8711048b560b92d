"""Captioned pictures: settings, sources, transforms, the text tokenizer and the batch loader."""
