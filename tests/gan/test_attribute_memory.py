"""Adma-GAN's memory: its graph, and which attributes learn of which."""

import pytest
import torch

from gan import AttributeMemory, co_occurrence_graph
from gan.attribute_memory import graph_of_shares

GRAPH = torch.tensor([[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.0, 0.75]])


def test_graph_of_shares():
    shares = torch.tensor([[0.0, 0.5, 0.1], [0.5, 0.0, 0.4], [0.2, 0.3, 0.0]])
    assert torch.equal(graph_of_shares(shares), GRAPH)


def test_graph_of_texts():
    texts = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]])
    expected = torch.tensor([[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 0.75]])
    assert torch.equal(co_occurrence_graph(texts), expected)


def test_start_of_the_memory():
    memory = AttributeMemory(3, 4, "joint")
    memory.start(5 * torch.eye(3, 4), GRAPH)
    assert torch.equal(memory.vectors, torch.eye(3, 4)) and torch.equal(memory.graph, GRAPH)


@pytest.mark.parametrize("update", ["aware", "joint"])
def test_no_attribute_is_nothing(update):
    assert torch.equal(AttributeMemory(3, 4, update)(torch.zeros(2, 3)), torch.zeros(2, 4))


def test_sum_of_present_attributes():
    memory = AttributeMemory(3, 4, "aware")
    added = memory(torch.tensor([[1, 0, 1], [0, 0, 0]]))
    assert torch.allclose(added[0], memory.vectors[0] + memory.vectors[2])
    assert torch.equal(added[1], torch.zeros(4))


def test_two_layers_on_the_graph():
    memory = AttributeMemory(3, 4, "joint")
    memory.start(torch.randn(3, 4), GRAPH)
    one, two = (layer.weight for layer in memory.layers)
    hidden = GRAPH @ memory.vectors @ one.T
    expected = GRAPH @ hidden.where(hidden > 0, 0.2 * hidden) @ two.T
    assert torch.allclose(memory(torch.eye(3)), expected, atol=1e-5)


@pytest.mark.parametrize(("update", "layers", "rows"), [
    ("aware", 0, {0}), ("joint", 1, {0, 1}), ("joint", 2, {0, 1, 2}),
])  # fmt: skip
def test_which_attributes_learn(update, layers, rows, monkeypatch):
    torch.manual_seed(0)
    if layers:
        monkeypatch.setattr("gan.attribute_memory.LAYERS", layers)
    memory = AttributeMemory(3, 4, update)
    memory.start(torch.randn(3, 4), GRAPH)
    memory(torch.tensor([[1, 0, 0]])).sum().backward()
    assert {n for n in range(3) if (memory.vectors.grad[n] != 0).any()} == rows


def test_fixed_memory_does_not_learn():
    memory = AttributeMemory(3, 4, "joint", learned=False)
    memory(torch.tensor([[1, 0, 0]])).sum().backward()
    assert memory.vectors.grad is None
    assert all(layer.weight.grad is not None for layer in memory.layers)
