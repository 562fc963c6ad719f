"""The network that another one learns from: which it is, and what is refused."""

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.data import as_data
from wfn.errors import UserError
from wfn.methods._teacher import check_teacher, teacher_hash, teacher_of
from wfn.methods.entropy_constrained import EntropyConstrained
from wfn.methods.lq_nets import LearnedBases
from wfn.methods.lsq import LearnedStepSizes
from wfn.methods.weight_fixing import WeightFixing
from wfn.methods.weight_sharing import KMeansSharing

QUICK = {"epochs": 1, "learning_rate": 0.02, "distillation": 1.0}
METHODS = (
    lambda **options: WeightFixing(delta=0.05, shares=(0.5, 1.0), **QUICK, **options),
    lambda **options: KMeansSharing(clusters=8, iterations=2, **QUICK, **options),
    lambda **options: EntropyConstrained(iterations=2, **QUICK, **options),
    lambda **options: LearnedStepSizes(iterations=2, **QUICK, **options),
    lambda **options: LearnedBases(iterations=2, **QUICK, **options),
)
HERE = "tests.methods.test_teacher"


def other_network():
    """Another one than the student, with outputs of its own."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 3))


def network_of_five():
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 5))


def network_of_other_images():
    return nn.Sequential(nn.Flatten(), nn.Linear(71, 3))


@pytest.fixture
def save(tmp_path):
    """Weights of the student's shape that are not the student's."""
    model = small_networks.build("convolutional")
    with torch.no_grad():
        model[-1].weight.neg_()
    torch.save(model.state_dict(), tmp_path / "teacher.pth")
    return str(tmp_path / "teacher.pth")


def weights_of(method):
    model = small_networks.build("convolutional")
    with torch.no_grad():
        model[-1].weight *= 30  # so that outputs differ
    return torch.cat([w.flatten() for w in method.compress(model, small_networks.data()).weights.values()])


def test_it_is_the_network_itself_unless_another_is_named(save):
    model, data = small_networks.build("convolutional"), as_data(small_networks.data())
    assert teacher_of(model, data, "", "") is model
    other = teacher_of(model, data, save, "")
    assert torch.equal(other[-1].weight, -model[-1].weight) and torch.equal(other[0].weight, model[0].weight)
    named = teacher_of(model, data, "", f"{HERE}:other_network")
    assert torch.equal(named[1].weight, other_network()[1].weight)


@pytest.mark.parametrize("make", METHODS)
def test_methods_learn_from_the_one_that_is_given(make, save):
    own = weights_of(make())
    assert torch.equal(own, weights_of(make()))
    assert not torch.equal(own, weights_of(make(teacher=save)))
    assert not torch.equal(own, weights_of(make(teacher_model=f"{HERE}:other_network")))


@pytest.mark.parametrize("make", METHODS)
def test_a_run_knows_its_teacher_by_the_content_of_the_file(make, save, tmp_path):
    assert make().hashes() == {} == teacher_hash("")
    assert len(make(teacher=save).hashes()["teacher_sha256"]) == 64
    model, path = small_networks.build("convolutional"), tmp_path / "checkpoint"
    make(teacher=save).compress(model, small_networks.data(), checkpoint=path)
    torch.save(small_networks.build("convolutional").state_dict(), save)
    with pytest.raises(UserError, match=r"is of other settings \(teacher_sha256 was"):
        make(teacher=save).compress(small_networks.build("convolutional"), small_networks.data(), checkpoint=path)


@pytest.mark.parametrize(
    ("teacher", "network", "match"),
    [
        (
            "",
            f"{HERE}:network_of_five",
            r"gives scores of shape \(5,\) for an input, but the network of \(3,\)",
        ),
        ("", f"{HERE}:network_of_other_images", "the teacher cannot take the network's inputs"),
        ("", f"{HERE}:nothing_here", "the teacher cannot be used: .*holds no function"),
        ("save", f"{HERE}:other_network", "the teacher cannot be used: weights .* do not fit"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_in_a_line(teacher, network, match, save):
    model, data = small_networks.build("convolutional"), as_data(small_networks.data())
    with pytest.raises(UserError, match=match) as refused:
        teacher_of(model, data, teacher and save, network)
    assert "\n" not in str(refused.value)


def test_a_save_of_other_classes_is_refused(save):
    state = torch.load(save)
    state["9.weight"], state["9.bias"] = torch.zeros(5, 4), torch.zeros(5)
    torch.save(state, save)
    with pytest.raises(UserError, match=r"the teacher cannot be used: .*9\.weight is 5x4 and should be 3x4"):
        weights_of(METHODS[0](teacher=save))


@pytest.mark.parametrize(
    ("teacher", "network", "share", "match"),
    [
        ("no.pth", "", 1.0, "teacher must be a file of trained weights, but there is no file 'no.pth'"),
        ("no.pth", "", 0.0, "teacher=no.pth has no effect with distillation=0"),
        ("", "resnet20", 0.0, "teacher_model=resnet20 has no effect with distillation=0"),
        ("", "resnet20", 1.0, "teacher_model=resnet20 is untrained: name a file of its weights by teacher"),
        ("", "resnet21", 1.0, "unknown teacher_model 'resnet21': did you mean resnet"),
    ],
)
def test_options_that_cannot_work_are_refused(teacher, network, share, match):
    with pytest.raises(UserError, match=match):
        check_teacher(share, teacher, network)
