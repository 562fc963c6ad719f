"""Several methods on one network, each measured in the same way.

python examples/compare_methods.py
"""

from copy import deepcopy

from own_network import data, network, top1

from wfn import measure, trace
from wfn.methods.float_network import FloatNetwork
from wfn.methods.rounding import PowerOfTwoRounding
from wfn.methods.weight_fixing import WeightFixing
from wfn.methods.weight_sharing import KMeansSharing

METHODS = (
    FloatNetwork(),
    WeightFixing(delta=0.0075, epochs=1),
    WeightFixing(delta=0.03, epochs=1),
    KMeansSharing(clusters=16, epochs=1),
    PowerOfTwoRounding(),
)


def main() -> None:
    """A line for each method."""
    model = network()
    _, (inputs, _) = data()
    forward_pass = trace(model, inputs[:1])
    print(f"{'method':34}{'top-1 (%)':>10}{'values':>8}{'bits a weight':>15}{'LZW (bytes)':>13}")
    for method in METHODS:
        compressed = method.compress(deepcopy(model), data())  # compress changes the network that it is given
        measured = measure(compressed.weights, forward_pass)
        print(
            f"{method.label:34}{top1(compressed.model):10.1f}{measured['unique_params']:8}"
            f"{measured['entropy_bits']:15.2f}{measured['lzw_bytes']:13,}"
        )


if __name__ == "__main__":
    main()
