"""Networks with few values, and what is deployed of them."""

import torch

from wfn import compressed_file
from wfn.compressed_file.deployment.shared_table import SharedTable
from wfn.networks.forward_pass import trace


def rounded(model, steps=8):
    """The network with every weight a multiple of 1 / steps, and running statistics that are no identity."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter * steps).round() / steps + 0.0)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.linspace(-0.3, 0.4, len(buffer)))
            if name.endswith("running_var"):
                buffer.copy_(torch.linspace(0.6, 1.7, len(buffer)))
    return model.eval()


def table_of(model, path, inputs):
    """The table of what the network uses, by way of a compressed file at ``path``."""
    weights = {n: p.detach() for n, p in model.named_parameters() if n in trace(model, inputs[:1]).uses}
    compressed_file.save(path, weights, model.state_dict(), {"method": "rounded"})
    return SharedTable.read(path)


class Undecided(torch.nn.Module):
    """What it does depends on what it is given, which no exporter can tell."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, inputs):
        return self.layer(inputs) if inputs.sum() > 0 else inputs
