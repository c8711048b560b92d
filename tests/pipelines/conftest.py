"""Networks of others, small and with random weights."""

import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """The folder of a CLIP: 32 pixels, 12 text positions (a letter each), 8 dimensions."""
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(97, 123)]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {piece: n for n, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    tower["num_attention_heads"] = 2
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            text_config={
                **tower,
                "vocab_size": len(vocabulary),
                "max_position_embeddings": 12,
                "bos_token_id": vocabulary["<|startoftext|>"],
                "eos_token_id": vocabulary["<|endoftext|>"],
            },
            vision_config={**tower, "image_size": 32, "patch_size": 8},
            projection_dim=8,
        )
    )
    model.save_pretrained(folder)
    size = {"shortest_edge": 32}
    crop = {"height": 32, "width": 32}
    CLIPProcessor(
        CLIPImageProcessor(size=size, crop_size=crop), CLIPTokenizer(vocab=vocabulary, merges=[])
    ).save_pretrained(folder)
    return folder
