"""Adma-GAN's memory: a vector for each attribute, and what the attributes of a text add up to
(2209.14046, section 3.2)."""

from itertools import pairwise
from typing import Literal

import torch
from einops import reduce
from torch import Tensor, nn
from torch.nn import functional as F

# The paper's threshold tau and share p (section 3.2).
COMMON, NEIGHBOURS_SHARE = 0.4, 0.25
LAYERS = 2
HIDDEN = 312
"""Of the graph's middle layer, as in the authors' code: their number of attributes."""

Update = Literal["aware", "joint"]


def co_occurrence_graph(attributes: Tensor) -> Tensor:
    """How much of each other attribute an attribute takes on [n, n].

    Two are neighbours where the second is present in 0.4 of the texts with the first. Neighbours
    share a weight of 0.25, and 0.75 stays with the attribute itself: rows add up to 1, or to 0.75
    where there is no neighbour. (The authors' code adds 1 on the diagonal and normalizes twice.)

    Args:
        attributes: [text, n] in {0, 1}.
    """
    present = attributes.double()
    together = present.T @ present
    return graph_of_shares(together / together.diagonal().clamp(min=1)[:, None])


def graph_of_shares(shares: Tensor) -> Tensor:
    """The graph [n, n] of the shares [n, n] of texts with the row's attribute that have the
    column's."""
    neighbours = (shares >= COMMON).double().fill_diagonal_(0)
    number = reduce(neighbours, "row column -> row 1", "sum").clamp(min=1)
    own = (1 - NEIGHBOURS_SHARE) * torch.eye(len(shares), dtype=torch.double)
    return (NEIGHBOURS_SHARE * neighbours / number + own).float()


class AttributeMemory(nn.Module):
    """A learned vector for each of n attributes.

    Args:
        attributes: n.
        width: of a vector.
        update: `aware` adds up the vectors of a sample's attributes; `joint` first lets attributes
            that come together learn of each other, by a graph convolution.
        learned: whether the vectors are trained; the graph's weights always are.
    """

    graph: Tensor

    def __init__(self, attributes: int, width: int, update: Update, learned: bool = True) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(attributes, width), requires_grad=learned)
        self.register_buffer("graph", torch.eye(attributes))
        widths = [width, *[HIDDEN] * (LAYERS - 1), width] if update == "joint" else []
        self.layers = nn.ModuleList()
        for before, after in pairwise(widths):
            layer = nn.Linear(before, after, bias=False)
            # Of graph convolutions (Kipf and Welling, 1609.02907, in their code for torch).
            nn.init.uniform_(layer.weight, -(after**-0.5), after**-0.5)
            self.layers.append(layer)

    @torch.no_grad()
    def start(self, vectors: Tensor, graph: Tensor) -> None:
        """From vectors of the attributes' phrases [n, width], whose lengths become 1, and the graph
        of `co_occurrence_graph` [n, n]."""
        self.vectors.copy_(F.normalize(vectors, dim=1))
        self.graph.copy_(graph)

    def forward(self, attributes: Tensor) -> Tensor:
        """Attributes [b, n] in {0, 1} -> [b, width], 0 where there are none."""
        vectors: Tensor = self.vectors
        for number, layer in enumerate(self.layers):
            vectors = self.graph @ layer(vectors)
            if number + 1 < len(self.layers):
                vectors = F.leaky_relu(vectors, 0.2)
        return attributes.to(vectors.dtype) @ vectors
