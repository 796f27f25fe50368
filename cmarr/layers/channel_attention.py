"""The reconstruction module: residual channel-attention blocks with 1-D convolutions (section 3.2)."""

from torch import Tensor, nn

SQUEEZE = 16
"""The squeezed width of a channel attention is the number of channels divided by this."""


class ChannelAttentionBlock(nn.Module):
    """(B, C, L) -> (B, C, L): conv-ReLU-conv, each channel rescaled by its mean over time, residual.

    >>> ChannelAttentionBlock(channels=32)(torch.zeros(2, 32, 5)).shape
    torch.Size([2, 32, 5])
    """

    def __init__(self, channels: int):
        super().__init__()
        squeezed = max(channels // SQUEEZE, 1)
        self.body = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(channels, channels, 3, padding=1),
        )
        self.attention = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.body(x)
        weights = self.attention(y.mean(-1))  # (B, C)
        return x.addcmul(y, weights[..., None])


class Reconstruction(nn.Module):
    """X~_n -> X^_n (B, L, d): widen to 2d, `blocks` blocks, a convolution with a long skip, narrow to d.

    zero_start: the last layer begins at zero, and X^_n with it, instead of at a random image of X~_n.

    >>> x = torch.randn(2, 5, 16)
    >>> Reconstruction(d=16, blocks=1)(x).shape
    torch.Size([2, 5, 16])
    >>> bool(Reconstruction(d=16, blocks=1, zero_start=True)(x).any())
    False
    """

    def __init__(self, d: int, blocks: int, zero_start: bool = False):
        super().__init__()
        self.widen = nn.Conv1d(d, 2 * d, 1)
        self.blocks = nn.Sequential(*[ChannelAttentionBlock(2 * d) for _ in range(blocks)])
        self.close = nn.Conv1d(2 * d, 2 * d, 3, padding=1)
        self.narrow = nn.Conv1d(2 * d, d, 1)
        if zero_start:
            for parameter in self.narrow.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d) -> (B, L, d)."""
        wide = self.widen(x.transpose(1, 2))  # (B, 2d, L)
        wide = wide + self.close(self.blocks(wide))
        out: Tensor = self.narrow(wide).transpose(1, 2)
        return out
