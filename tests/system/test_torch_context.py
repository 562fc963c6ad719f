"""How torch computes for a time."""

import pytest
import torch

from wfn.system.torch_context import any_order


@pytest.mark.parametrize(("is_on", "warns"), [(False, False), (True, False), (True, True)])
def test_any_order_is_for_the_body_alone(is_on, warns):
    try:
        torch.use_deterministic_algorithms(is_on, warn_only=warns)
        with pytest.raises(KeyError), any_order():
            assert not torch.are_deterministic_algorithms_enabled()
            raise KeyError
        assert torch.are_deterministic_algorithms_enabled() == is_on
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warns
    finally:
        torch.use_deterministic_algorithms(False)
