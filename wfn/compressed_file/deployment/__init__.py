"""A fixed network in the forms of other runtimes, its weights still indices into one table of shared values."""

from wfn.errors import UserError

# What a fixed network can be turned into, and the ending of such a file.
FORMS = {"onnx": ".onnx", "coreml": ".mlpackage", "safetensors": ".indices.safetensors"}

# The packages that a form needs, and the extra of this one that brings them.
NEEDED = {"onnx": (("onnx", "onnxruntime", "onnxscript"), "deploy"), "coreml": (("coremltools",), "coreml")}

__all__ = ["FORMS", "check_form"]


def check_form(form: str) -> None:
    """Raise :class:`UserError` for a form that is not there, or that needs a package which is not installed."""
    from importlib.util import find_spec

    from wfn.errors import unknown_name

    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    packages, extra = NEEDED.get(form, ((), ""))
    if lacking := [package for package in packages if find_spec(package) is None]:
        raise UserError(f"--to {form} needs {', '.join(lacking)}, not installed here: pip install 'wfn[{extra}]'")
