"""A small vision transformer: ViT of Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, for small images.

Differs: narrower and shallower than the paper's smallest, and without dropout, so that two cores train it in about an
hour.
"""

import torch
from torch import Tensor, nn

from wfn.errors import UserError


class VisionTransformer(nn.Module):
    """Patches to tokens, a class token, learnt positions, pre-norm encoder layers, and a linear head on that token.

    Attributes:
        patch_embedding: the convolution that makes a token of each patch.
        class_token: [1, 1, width].
        position_embedding: [1, 1 + patches, width].
        encoder: attention and two linear layers (four times as wide inside), each behind a layer-norm.
        norm: the layer-norm before the head.
        head: the linear layer that gives the scores.
    """

    def __init__(
        self, classes: int, input_shape: tuple[int, ...], patch: int, width: int, depth: int, heads: int
    ) -> None:
        """Draw fresh weights.

        Args:
            classes: number of outputs.
            input_shape: (channels, height, width) of one input.
            patch: height and width of a patch, pixels.
            width: numbers a token.
            depth: encoder layers.
            heads: of attention; they must divide ``width``.

        Raises:
            UserError: the patches do not fill the images.
        """
        super().__init__()
        channels, rows, columns = input_shape
        if rows % patch or columns % patch:
            raise UserError(
                f"a vision transformer with patches of {patch}x{patch} cannot take images of {rows}x{columns}: give "
                f"images whose height and width are multiples of {patch}"
            )
        patches = (rows // patch) * (columns // patch)
        self.patch_embedding = nn.Conv2d(channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.position_embedding = nn.Parameter(torch.empty(1, 1 + patches, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        for name, parameter in self.encoder.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:  # all but the scales of layer-norms, which stay at 1
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.position_embedding, std=0.02)
        nn.init.zeros_(self.class_token)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> scores (batch, classes)."""
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        return self.head(self.norm(self.encoder(tokens + self.position_embedding)[:, 0]))


def small_vision_transformer(classes: int, input_shape: tuple[int, ...]) -> VisionTransformer:
    """Build the one of 128 numbers a token, 6 layers, 4 heads: 1.2 million weights at 32 x 32, in 64 patches of 4 x 4.

    Images of less than 16 pixels a side have patches of 2 x 2.
    """
    patch = 4 if min(input_shape[1:]) >= 16 else 2
    return VisionTransformer(classes, input_shape, patch, width=128, depth=6, heads=4)
