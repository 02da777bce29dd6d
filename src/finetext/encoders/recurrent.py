"""One layer of an AWD-LSTM: an LSTM with dropout of its recurrent weights (DropConnect).

Merity, Keskar and Socher 2018, "Regularizing and Optimizing LSTM Language Models", section 2. The
weights are handed to torch's fused kernel as they are after dropout, so they are plain parameters
for everything else: optimisers, copies, number formats and files.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[tuple[Tensor, Tensor], ...]
"""The hidden and the cell state of each layer after the last token, each (1, b, width)."""


class AwdLstmLayer(nn.Module):
    """One layer of LSTM whose recurrent weights are dropped anew for every call."""

    def __init__(self, inputs: int, width: int, weight_dropout: float) -> None:
        """Make room for the weights; `AwdLstmPreTrained` fills them.

        Args:
            inputs: width of what the layer reads.
            width: width of what it gives.
            weight_dropout: share of `weight_hh` dropped in training.
        """
        super().__init__()
        self.width = width
        self.weight_dropout = weight_dropout
        self.weight_ih = nn.Parameter(torch.empty(4 * width, inputs))
        self.weight_hh = nn.Parameter(torch.empty(4 * width, width))
        self.bias_ih = nn.Parameter(torch.empty(4 * width))
        self.bias_hh = nn.Parameter(torch.empty(4 * width))

    def forward(
        self, values: Tensor, state: tuple[Tensor, Tensor] | None, back_propagated: int | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read a batch.

        Args:
            values: (b, t, inputs).
            state: hidden and cell state to begin with, each (1, b, width); zeros by default.
            back_propagated: tokens over which gradients flow back; None for all.

        Returns:
            (b, t, width), and the state after the last token.
        """
        zeros = values.new_zeros(1, values.shape[0], self.width)
        hidden, cell = (zeros, zeros) if state is None else state
        recurrent = functional.dropout(self.weight_hh, self.weight_dropout, self.training)
        weights = (self.weight_ih, recurrent, self.bias_ih, self.bias_hh)
        cut = back_propagated if torch.is_grad_enabled() else None
        outputs: list[Tensor] = []
        for part in torch.split(values, cut or values.shape[1], dim=1):
            if outputs:
                hidden, cell = hidden.detach(), cell.detach()
            given, hidden, cell = _lstm(part, (hidden, cell), weights)
            outputs.append(given)
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), (hidden, cell)


def dropped_alike(values: Tensor, share: float, training: bool) -> Tensor:
    """Variational dropout (Gal and Ghahramani 2016): one mask for all tokens of a sequence.

    Args:
        values: (b, t, width).
        share: what is dropped, from 0 to 1.
        training: whether anything is dropped at all.
    """
    if not training or not share:
        return values
    return values * functional.dropout(values.new_ones(values.shape[0], 1, values.shape[2]), share)


def _lstm(
    values: Tensor, state: tuple[Tensor, Tensor], weights: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """The fused kernel on (b, t, inputs): outputs, hidden and cell state.

    On CUDA it warns of weights that are not one piece of memory, which dropped ones never are.
    """
    with warnings.catch_warnings():
        if values.is_cuda:
            warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        options = (True, 1, 0.0, torch.is_grad_enabled(), False, True)
        outputs, hidden, cell = torch._VF.lstm(values, state, weights, *options)
    return outputs, hidden, cell
