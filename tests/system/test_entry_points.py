"""A user's own functions, which leave torch as they found it."""

import torch

from wfn.system.entry_points import call, resolve


def test_neither_a_module_nor_a_function_changes_the_default_dtype_for_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = "torch.set_default_dtype(torch.float64)"
    (tmp_path / "doubles.py").write_text(f"import torch\n{chosen}\ndef network():\n    {chosen}\n    return 7\n")
    network = resolve("doubles:network", "network")
    assert torch.get_default_dtype() == torch.float32
    assert call(network, "doubles:network") == 7
    assert torch.get_default_dtype() == torch.float32
