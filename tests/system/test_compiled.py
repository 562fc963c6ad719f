import numba
import pytest

from wfn.system.compiled import compiled


def test_what_cannot_be_kept_is_compiled_all_the_same():
    found = {}
    exec("def double(x):\n    return 2 * x", found)  # of no file, so that there is no place for it
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(found["double"], cache=True)
    assert compiled()(found["double"])(21) == 42
