"""Imported by the server from which programs are forked: loads what each of them would load anew.

Nothing parallel is called here: a fork of a process that has used OpenMP cannot use it any more.
"""

import ncompress  # noqa: F401
import numpy as np
from numba.core.registry import cpu_target

from wfn.codebooks.clustering.algorithm import cluster

cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
cluster(np.linspace(-1, 1, 20, dtype=np.float32), target=20, delta=0.05, threshold=2**-7)
