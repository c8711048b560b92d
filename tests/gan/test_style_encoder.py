"""A style encoder finds the noise of a picture, and leaves the generator as it is."""

import torch

from gan.style_encoder import StyleEncoder, StyleEncoderConfig, StyleObjective, style_loss
from tests.gan.conftest import OneProcess, Texts, batch, correlation, generator


def test_loss_is_a_squared_distance():
    noise = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert style_loss(noise, torch.zeros(2, 2)).tolist() == [5.0, 0.0]


def style_encoder() -> StyleEncoder:
    torch.manual_seed(4)
    return StyleEncoder(StyleEncoderConfig(noise_dim=8, image_size=(32, 32), base_channels=8))


def test_it_learns_to_find_noise_whatever_the_text():
    """Of an untrained generator, which makes something else of every noise."""
    drawing, encoder = generator("attentional"), style_encoder()
    drawing(
        torch.randn(32, 8), Texts()(batch()["text_ids"][:1].expand(32, -1), torch.full((32,), 6))
    )
    before = {name: value.clone() for name, value in drawing.state_dict().items()}
    objective = StyleObjective(encoder, drawing, OneProcess(), Texts())
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    data = batch(1, count=32)
    for step in range(150):
        ((_, losses),) = objective.turns([data], step)
        optimizer.zero_grad()
        for terms in losses:
            terms["loss"].backward()
        optimizer.step()
    encoder.eval()
    figures = objective.evaluate(batch(7, count=32))  # other texts, other noise
    assert float(figures["explained"][0] / figures["explained"][1]) > 0.5
    with torch.no_grad():
        noise, data = torch.randn(32, 8), batch(8, count=32)
        texts = objective.text_encoder(data["text_ids"], data["text_length"])
        found = encoder(drawing(noise, texts))
        again = encoder(drawing(noise, texts.map(lambda part: part.roll(1, dims=0))))
    assert correlation(noise, found) > 0.6 and correlation(found, again) > 0.7
    assert abs(correlation(found, again.roll(1, dims=0))) < 0.2
    assert all(torch.equal(value, before[name]) for name, value in drawing.state_dict().items())
    assert all(p.grad is None for p in drawing.parameters())


def test_saved_and_loaded(tmp_path):
    encoder, pixels = style_encoder().eval(), torch.randn(2, 3, 32, 32)
    encoder.save_pretrained(tmp_path)
    again = StyleEncoder.from_pretrained(tmp_path)
    assert torch.allclose(again(pixels), encoder(pixels), atol=1e-5)
