"""Imported by the server from which programs are forked: loads what Numba would load anew in each of them."""

import ncompress  # noqa: F401
from numba.core.registry import cpu_target

cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
