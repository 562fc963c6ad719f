"""The weights of a network that the inference on some data uses."""

from torch import nn

from wfn.data import Data
from wfn.networks.forward_pass import trace
from wfn.parameters import FlatWeights
from wfn.training import check_outputs


def counted_weights(model: nn.Module, data: Data, fix_batch_norm: bool = True) -> FlatWeights:
    """Move them into one flat vector, of which batch-norm's are fixable or not; ``release()`` gives them back.

    Raises:
        UserError: the network does not fit the data, or its weights are not finite float32.
    """
    device = next(model.parameters()).device
    example = next(iter(data.test))[0][:1].to(device)
    check_outputs(model, example, data.classes)
    return FlatWeights(model, trace(model, example), fix_batch_norm)
