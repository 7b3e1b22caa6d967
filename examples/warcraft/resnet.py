"""ResNet18, or the front of it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """The basic block of ResNet18 (He et al., CVPR 2016): (B, C, H, W) -> (B, C', H/stride, W/stride)."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.body(features) + self.shortcut(features), inplace=True)


def resnet18(stages: int) -> nn.Sequential:
    """The first `stages` of ResNet18's four: (B, 3, H, W) -> (B, 64 * 2^(stages-1), H / 2^(stages+1), ...)."""
    network = nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    channels = 64
    for stage in range(stages):
        width = 64 * 2**stage
        network.append(ResidualBlock(channels, width, stride=1 if stage == 0 else 2))
        network.append(ResidualBlock(width, width, stride=1))
        channels = width
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
