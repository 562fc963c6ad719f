"""A ternary network that the authors of EC2T released, as a method."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from wfn.data import Data
from wfn.errors import UserError
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.networks.own.permanent import check_unpruned
from wfn.networks.weights import load_weights
from wfn.system.fingerprint import file_sha256
from wfn.training.flat_weights import counted_weights

THEIR_NAMES = {"fc": "linear"}


@dataclass(frozen=True)
class Ec2tSave(Method):
    """The ResNet-20 in a save of EC2T's authors: three values a convolution (Marban et al., CVPRW 2020).

    Entropy-constrained trained ternarisation: each layer in between has zero and one value of either sign, assigned by
    distance and by the length of the code. First and last layer, batch-norm and biases are float. The network is
    ``resnet20`` here, whose shortcuts have no weights. The numbers by which images are normalised there differ from
    those here by less than a thousandth.

    The float network that they began with has the same names and is given as ``weights`` once its last layer is called
    ``fc`` instead of ``linear``.

    Attributes:
        save: the file to read, one that its authors released.
    """

    name: ClassVar[str] = "ec2t"
    title: ClassVar[str] = "EC2T"
    row_order: ClassVar[int] = 32
    needed: ClassVar[tuple[str, ...]] = ("save",)
    files: ClassVar[tuple[str, ...]] = ("save",)

    save: str = ""

    def __post_init__(self) -> None:
        """Raise :class:`UserError` where there is no such file."""
        if not Path(self.save).expanduser().is_file():
            got = f"there is no file {self.save!r}" if self.save else "none was given"
            raise UserError(f"save must be a file that the EC2T authors released, but {got}")

    @property
    def treatment(self) -> Treatment:
        """First and last layer and batch-norm are float."""
        return Treatment("float", "float")

    def hashes(self) -> dict[str, str]:
        """``save_sha256``, which identifies the save whatever its file is called.

        Raises:
            UserError: the file cannot be read.
        """
        return {"save_sha256": file_sha256("save", self.save)}

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Put the save's tensors into ``model``, in place; its own weights do not matter, and nothing is told.

        Raises:
            UserError: weights of ``model`` are pruned; the file is not such a save, or does not fit ``model``.
        """
        check_unpruned(model, dict(model.named_parameters()), self.name)
        theirs = nn.Module()
        for name, part in model.named_children():
            theirs.add_module(THEIR_NAMES.get(name, name), part)
        load_weights(theirs, self.save, "that of EC2T's save")
        layers = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
        for name, layer in layers[1:-1]:
            if (values := layer.weight.unique().numel()) > 3:
                raise UserError(
                    f"save {self.save!r} is not ternary: {name} takes {values} values; a float network is given as "
                    "weights, not as save"
                )
        weights = counted_weights(model.eval(), data)
        weights.release()
        return Quantised(model, weights.named())
