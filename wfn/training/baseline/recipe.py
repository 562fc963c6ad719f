"""How a float network is trained where a user gives no weights: by its kind and size."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

LARGE = 5_000_000  # weights; a ResNet-18 has 11 million, a ResNet-56 for small images 0.9 million


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum, its learning rate up and down once.

    Count ``version`` up when anything else in the training changes: cached networks are then trained anew.
    """

    version: int = 1
    peak_learning_rate: float = 0.1
    warm_up: float = 0.2  # share of the steps in which the learning rate rises
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: ClassVar[float] = 0.0
    cutout: ClassVar[float] = 0.0
    epochs: ClassVar[int] = 30  # the name of a kept network has its own number


@dataclass(frozen=True)
class LargeRecipe(Recipe):
    """The same, shorter, with smoothed labels (Szegedy et al., CVPR 2016, section 7) and cut-out squares.

    A network of so many weights soon knows the training images by heart; smoothed labels keep its scores from growing
    for nothing but that, a square cut out of every image leaves less to know, and 20 epochs are two thirds of the work.
    On a CPU it computes in bfloat16 where the processor has instructions for it.
    """

    peak_learning_rate: float = 0.2
    label_smoothing: float = 0.1  # share of a label that is spread evenly over all classes
    cutout: float = 0.25  # side of the square, of an image's (wfn.data.augmentation.cut_out)
    epochs: ClassVar[int] = 20


@dataclass(frozen=True)
class TransformerRecipe:
    """AdamW, its learning rate up and down once, as vision transformers are trained (Touvron et al., ICML 2021).

    Weight decay is for matrices and embeddings, not for biases and the scales of norms. ``version`` as above.
    """

    version: int = 1
    peak_learning_rate: float = 1e-3
    warm_up: float = 0.1  # share of the steps in which the learning rate rises
    weight_decay: float = 0.05
    label_smoothing: ClassVar[float] = 0.0
    cutout: ClassVar[float] = 0.0
    epochs: ClassVar[int] = 12  # small_vit on CIFAR-10: about an hour on two cores, by the time of single steps


AnyRecipe = Recipe | TransformerRecipe
RECIPE, LARGE_RECIPE, TRANSFORMER_RECIPE = Recipe(), LargeRecipe(), TransformerRecipe()


def recipe_for(model: nn.Module) -> AnyRecipe:
    """The recipe by which a network of its kind is trained.

    One with layer-norm and without batch-norm by AdamW; of the others, those of ``LARGE`` weights and more by the short
    recipe.
    """
    modules = list(model.modules())
    is_transformer = any(isinstance(m, nn.LayerNorm) for m in modules) and not any(
        isinstance(m, _BatchNorm) for m in modules
    )
    if is_transformer:
        return TRANSFORMER_RECIPE
    return LARGE_RECIPE if sum(parameter.numel() for parameter in model.parameters()) >= LARGE else RECIPE


def precision_of(recipe: AnyRecipe, device: torch.device) -> str:
    """The precision of its forward passes, one of :data:`wfn.system.torch_context.PRECISIONS`."""
    if device.type == "cuda":
        return "bfloat16"
    has_bfloat16 = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if has_bfloat16 and isinstance(recipe, LargeRecipe) else "float32"


def optimiser_for(model: nn.Module, recipe: AnyRecipe) -> torch.optim.Optimizer:
    """The optimiser over all weights of ``model``."""
    if isinstance(recipe, TransformerRecipe):
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        others = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        groups = [{"params": others, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=recipe.peak_learning_rate)
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.peak_learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
