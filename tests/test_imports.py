"""What a fresh Python imports: the heavy libraries only once they are needed, so that ``--help`` takes no time."""

import subprocess
import sys

import pytest

from tests.support.places import ROOT

pytestmark = pytest.mark.process
HEAVY = {"torch", "mlflow", "optuna", "matplotlib", "psutil"}


@pytest.mark.parametrize(
    "steps",
    [
        [("import wfn", HEAVY)],
        [("import wfn.__main__", HEAVY | {"pandas", "sklearn"})],
        [("import wfn.networks, wfn.data; wfn.networks.names(), wfn.data.names()", {"torch"})],
        [
            (
                "import studies.__main__; from studies.questions import ablation, noise, pareto",
                HEAVY - {"pandas", "sklearn"},
            )
        ],
        [("import reports.__main__", {"torch", "mlflow", "matplotlib", "typst"})],
        [
            (
                "from wfn.__main__ import main; "
                "main(['--batch_size', '0']); main(['--dataset', 'dgits']); main(['--delta', '-1'])",
                HEAVY,
            )
        ],
        [("from studies.__main__ import main; main(['run', 'nothing'])", HEAVY)],
        [  # by one Python, for torch takes seconds
            (
                "import torch; from wfn import networks, trace; "
                "trace(networks.build('small_resnet', 10, (1, 8, 8)), torch.zeros(1, 1, 8, 8)); "
                "from wfn.data.named import digits as d; "
                "d.digits(batch_size=9, validation_share=0, seed=0, device='cpu')",
                {"torchvision", "sklearn", "scipy", "pandas", "torch._dynamo"},
            ),
            ("import wfn.runs.run, wfn.methods.weight_fixing", {"mlflow", "optuna", "matplotlib"}),
        ],
    ],
    ids=lambda steps: "; ".join(statement for statement, _ in steps),
)
def test_imports_stay_light(steps):
    code = "import sys\n"
    code += "".join(f"{statement}\nprint(*({forbidden} & set(sys.modules)))\n" for statement, forbidden in steps)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.split() == []
