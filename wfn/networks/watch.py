"""Watching the operators that a network's pass comes down to."""

from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    """While it is active, its ``__torch_dispatch__`` is called in place of each operator; one derives from it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else its first call imports torch.compile, which takes as long as torch and has no part in it
