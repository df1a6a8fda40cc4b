"""What each byte is to a text: vectors made of how the byte is used there, and of what its name meant in other texts.

Every byte begins with a learned vector of its name and features of its use; then, some rounds long, it takes in the mean vectors of
what stands one to three places before and after it (message passing on the graph of neighbours; Gilmer et al., 2017). The same map
serves all bytes, so that a byte of an unknown script is understood by its neighbours. That names may mean nothing is learned from
texts whose bytes exchanged their names.

Shapes: V 256 bytes, U that occur, K neighbourhoods, R numbers of a role per round.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from metasearch.meta._text_statistics import FEATURES, NEIGHBOURHOODS, Statistics

NAME_SCALE = 1.4
"""Length of the vector of a name at first: more than the features say, or bytes of like use could not be told apart."""


class ByteRoles(nn.Module):
    """Roles (V, ``width``) of the bytes of a text, of every round side by side."""

    def __init__(self, roles: int, rounds: int) -> None:
        super().__init__()
        self.width = roles * (rounds + 1)
        self.name_VR = nn.Parameter(torch.randn(256, roles) * NAME_SCALE * roles**-0.5)
        self.use = nn.Linear(FEATURES, roles)
        self.rounds = nn.ModuleList(nn.Linear(roles * (NEIGHBOURHOODS + 1), roles) for _ in range(rounds))

    def forward(self, of: Statistics, order_V: Tensor) -> Tensor:
        """``order_V``: whose name each byte has, its own or another's."""
        role_VR = functional.gelu(self.use(of.features_VF) + self.name_VR[order_V])
        found = [role_VR]
        for mix in self.rounds:
            around_KUR = of.neighbours_KUU @ role_VR[of.bytes_U]
            around_KVR = role_VR.new_zeros(len(around_KUR), *role_VR.shape).index_copy(1, of.bytes_U, around_KUR)
            told_VR = functional.gelu(mix(torch.cat([role_VR, *around_KVR], dim=1)))
            role_VR = functional.layer_norm(role_VR + told_VR, role_VR.shape[1:])
            found.append(role_VR)
        return torch.cat(found, dim=1)
