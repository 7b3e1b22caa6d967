"""A U-Net (Ronneberger, Fischer and Brox, MICCAI 2015)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """Images to one number a cell, (B, channels, H, W) -> (B, H, W); H and W divide by 2 to the number of halvings.

    Args:
        channels: of images.
        width: channels of the first level, doubled with each halving.
        halvings: of the resolution.
    """

    def __init__(self, channels: int, width: int = 16, halvings: int = 3) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(halvings + 1)]
        self.down = nn.ModuleList(
            _block(before, after) for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(_block(low + high, high) for high, low in itertools.pairwise(widths))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        levels = [self.down[0](images)]
        for block in self.down[1:]:
            levels.append(block(functional.max_pool2d(levels[-1], 2)))
        low = levels.pop()
        for high, block in zip(reversed(levels), reversed(self.up), strict=True):
            low = block(torch.cat([high, functional.interpolate(low, scale_factor=2.0)], dim=1))
        out: Tensor = self.head(low).squeeze(1)
        return out


def _block(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
