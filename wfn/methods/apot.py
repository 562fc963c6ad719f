"""A network that the authors of APoT (Li, Dong & Wang, ICLR 2020) released, as a method."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from wfn.codebooks.additive_powers import ActivationQuantiser, Projection, quantise_to_8_bits, quantise_weight
from wfn.codebooks.quantisers.quantised_inputs import load_with_quantised_inputs, quantise_input
from wfn.data import Data
from wfn.data.passes import first_inputs
from wfn.errors import UserError
from wfn.interface import Observe, Quantised, Treatment
from wfn.measures.accuracy import evaluate
from wfn.methods import Method
from wfn.networks.own.layout import layout
from wfn.networks.own.permanent import check_unpruned
from wfn.networks.own.state import check_ties
from wfn.networks.running_statistics import check_statistics
from wfn.system.fingerprint import file_sha256
from wfn.training.flat_weights import counted_weights
from wfn.training.layer_scales import share_step

BIT_WIDTHS = (2, 3, 4, 5)
ENTRIES = ("state_dict", "model")  # where a save keeps the network's tensors
WEIGHT_CLIPS = ("weight_quant.wgt_alpha", "weight_alpha")  # in the CIFAR-10 saves, in the ImageNet saves
ACTIVATION_CLIP = "act_alpha"
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)  # the last one of counters


@dataclass(frozen=True)
class ApotSave(Method):
    """The quantised network in a save of APoT's authors, CIFAR-10 or ImageNet.

    The convolutions in between are quantised, weights and what enters them; the weights of the first and the last layer
    have 8 bits; biases and batch-norm are float.

    Attributes:
        save: the file to read, one that its authors released.
        bits: the bit width that the save was trained for, which it does not tell: 2, 3, 4 or 5.
        quantise_activations: quantise activations, too, as the save was trained to.
        fold_clips: divide the weights of each layer in between by its clipping threshold and fold that into the
            batch-norm behind it, so that all these layers share one set of levels.
    """

    name: ClassVar[str] = "apot"
    title: ClassVar[str] = "APoT"
    row_order: ClassVar[int] = 30
    named: ClassVar[tuple[str, ...]] = ("bits",)
    switched_off: ClassVar[dict[str, str]] = {"quantise_activations": "float activations"}
    switched_on: ClassVar[dict[str, str]] = {"fold_clips": "scales folded"}
    needed: ClassVar[tuple[str, ...]] = ("save", "bits")
    files: ClassVar[tuple[str, ...]] = ("save",)

    save: str = ""
    bits: int = 0
    quantise_activations: bool = True
    fold_clips: bool = False

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a bit width that was not released, or where there is no such file."""
        if self.bits not in BIT_WIDTHS:
            widths = ", ".join(map(str, BIT_WIDTHS))
            got = f"got bits={self.bits}" if self.bits else "none was given"
            raise UserError(f"bits must be one of {widths}, as the save was trained for, but {got}")
        if not Path(self.save).expanduser().is_file():
            got = f"there is no file {self.save!r}" if self.save else "none was given"
            raise UserError(f"save must be a file that the APoT authors released, but {got}")

    @property
    def label(self) -> str:
        """The method with its bit width."""
        return f"{self.title} ({self.bits}bit)"

    @property
    def treatment(self) -> Treatment:
        """First and last layer have 8 bits, batch-norm is float."""
        return Treatment("8 bit", "float", f"{self.bits} bit" if self.quantise_activations else "float")

    def hashes(self) -> dict[str, str]:
        """``save_sha256``, which identifies the save whatever its file is called.

        Raises:
            UserError: the file cannot be read.
        """
        return {"save_sha256": file_sha256("save", self.save)}

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Put the save's tensors into ``model``, in place, the weights as the values that it really computes with.

        Where activations are quantised as well, each layer has a module ``input_quantiser`` that sees to it, whose
        buffers stand in the ``state_dict``: :func:`load_quantised` gives them to another network. The accuracy without
        them is measured here, on the test images: ``scores`` holds ``top1_float_activations``, ``top5_...`` and
        ``loss_...``.

        The weights of ``model`` do not matter; nothing is told, and ``checkpoint`` is not needed.

        Raises:
            UserError: weights of ``model`` are pruned; else as :meth:`put_into`; the network does not fit the data;
                scales are to be folded and cannot be.
        """
        check_unpruned(model, dict(model.named_parameters()), self.name)
        clips = self.put_into(model)
        if self.fold_clips:
            self._fold_clips(model, {name: clip for name, (clip, _) in clips.items()}, data)
        weights = counted_weights(model.eval(), data)
        weights.release()
        scores = {}
        if self.quantise_activations:
            score = evaluate(model, data.test, weights.values.device)
            scores = {f"{name}_float_activations": value for name, value in asdict(score).items()}
            for name, (_, clip) in clips.items():
                quantise_input(model.get_submodule(name), ActivationQuantiser(clip, self.bits))
        return Quantised(model, weights.named(), scores=scores)

    def put_into(self, model: nn.Module) -> dict[str, tuple[float, float]]:
        """Put the save's tensors into ``model``, in place, the weights quantised.

        Returns:
            name of each layer in between -> its clipping thresholds, for weights and for the activations that enter.

        Raises:
            UserError: the file is not such a save, or does not fit ``model``; it holds NaN or infinity; it cannot be of
                ``bits`` bits.
        """
        tensors = _read(Path(self.save).expanduser())
        clips = {name: tensors.pop(name) for name in list(tensors) if name.endswith((*WEIGHT_CLIPS, ACTIVATION_CLIP))}
        self._check_fit(model, tensors)
        model.load_state_dict(tensors, strict=False)  # counters may be missing
        layers = self._quantised_layers(model, clips)
        with torch.no_grad():
            for name, layer in _weighted(model).items():
                layer.weight.copy_(self._quantised(name, layer.weight, layers.get(name)))
        return layers

    def _fold_clips(self, model: nn.Module, clips: Mapping[str, float], data: Data) -> None:
        """Let all layers in between have the levels times one number in place of their ``clips``."""
        device = next(model.parameters()).device
        inputs, project = first_inputs(data.test, device, layout(model)), Projection(self.bits - 1).to(device)
        steps = {f"{name}.weight": clip for name, clip in clips.items()}
        if not share_step(model, inputs, steps, lambda quotients: project(quotients.abs()) * quotients.sign()):
            raise self._unfit("none of its layers has a batch-norm to fold its scale into; leave fold_clips off")

    def _check_fit(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        expected = _shapes(model.state_dict())
        counters = {name: shape for name, shape in expected.items() if name.endswith("num_batches_tracked")}
        given = counters | _shapes(tensors)
        if odd := sorted(expected.items() ^ given.items()):
            name = odd[0][0]
            raise self._unfit(
                f"{name} is {given.get(name, 'missing')} and should be {expected.get(name, 'absent')}"
                f" ({len({name for name, _ in odd})} tensors differ); choose the model that it was made for"
            )
        try:
            check_ties(model, tensors)
        except ValueError as error:
            raise self._unfit(f"{error}; choose the model that it was made for") from error

    def _quantised_layers(self, model: nn.Module, clips: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
        """Name of each layer in between -> its clipping thresholds, for weights and for activations."""
        if not clips:
            raise self._unfit("it holds no clipping thresholds: a float network is given as weights, not as save")
        between = list(_weighted(model))[1:-1]
        for weight_clip in WEIGHT_CLIPS:
            names = {layer: (f"{layer}.{weight_clip}", f"{layer}.{ACTIVATION_CLIP}") for layer in between}
            if clips.keys() == {name for pair in names.values() for name in pair}:
                return {layer: (self._clip(clips, w), self._clip(clips, a)) for layer, (w, a) in names.items()}
        raise self._unfit(
            f"it must hold two clipping thresholds, {ACTIVATION_CLIP} and {' or '.join(WEIGHT_CLIPS)}, for each layer "
            f"between the first and the last, and for no other, but holds {', '.join(sorted(clips)[:2])}, ..."
        )

    def _clip(self, clips: Mapping[str, Tensor], name: str) -> float:
        if clips[name].numel() != 1 or not clips[name] > 0:
            raise self._unfit(f"the clipping threshold {name} must be one number above 0; use a sound save")
        return clips[name].item()

    def _quantised(self, name: str, latent: Tensor, clips: tuple[float, float] | None) -> Tensor:
        if clips is None:
            return quantise_to_8_bits(latent)
        most, found = 2**self.bits - 1, latent.unique().numel()
        if found == 1:
            raise self._unfit(f"all of {name}.weight is one value, which cannot be normalised; use a sound save")
        are_levels = found < min(2 ** max(BIT_WIDTHS), latent.numel() / 2)  # trained floats hardly ever repeat
        if are_levels and found > most:
            raise self._unfit(
                f"{name}.weight holds {found} distinct values, {self.bits} bits allow {most}; give a larger bits"
            )
        return quantise_weight(latent, clips[0], self.bits)

    def _unfit(self, problem: str) -> UserError:
        return UserError(f"save {self.save!r} does not fit: {problem}")


def load_quantised(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load the fixed network that a run of :class:`ApotSave` left, with what quantises its activations.

    Arguments and errors are those of :func:`wfn.codebooks.quantisers.quantised_inputs.load_with_quantised_inputs`.
    """
    load_with_quantised_inputs(model, state, "bits", _quantiser_of)


def _quantiser_of(layer: nn.Module, bits: Tensor) -> ActivationQuantiser:
    if bits.item() not in BIT_WIDTHS:
        raise RuntimeError(f"it has activations of {bits.item()} bits")
    return ActivationQuantiser(1.0, int(bits))  # the threshold follows with all else


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of the save at ``path``, by the names of their layers."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file can fail anywhere in the unpickler
        raise UserError(f"save {str(path)!r} could not be read: it must be a file of tensors by torch.save") from error
    entries = [content.get(entry) for entry in ENTRIES] if isinstance(content, Mapping) else []
    for tensors in entries:
        if isinstance(tensors, Mapping) and tensors and all(map(_is_plain, tensors.keys(), tensors.values())):
            break
    else:
        entries = " or ".join(ENTRIES)
        raise UserError(f"save {str(path)!r} holds no plain tensors under {entries}: use a save as it was released")
    for name, value in tensors.items():
        if not torch.isfinite(value.float()).all():  # a number of float64 may be too large
            raise UserError(f"save {str(path)!r} holds NaN or infinity in {name}: use a sound save")
    try:
        check_statistics(tensors)
    except ValueError as error:
        raise UserError(f"save {str(path)!r} cannot be that of a network: {error}; use a sound save") from error
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def _is_plain(name: object, value: object) -> bool:
    """Whether this is a dense tensor of numbers that the file holds in full, under a name fit for a message."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and value.dtype in DTYPES
        and not (value.is_meta or value.is_nested)
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _weighted(model: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers by name: the first layer first, the last one last."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}
