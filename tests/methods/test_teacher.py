"""The network that another one learns from: which it is, and what is refused."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.data import as_data
from wfn.errors import UserError
from wfn.interface import Epoch
from wfn.methods._teacher import MirrorAverage, check_teacher, teacher_hash, teacher_of
from wfn.methods.cof_pwfn import ClusterOnTheFly
from wfn.methods.deep_kmeans import DeepKMeans
from wfn.methods.ec2t import Ec2tSave
from wfn.methods.ensemble import DeepEnsemble
from wfn.methods.entropy_constrained import EntropyConstrained
from wfn.methods.float_network import FloatNetwork
from wfn.methods.kernel_quantisation import KernelQuantisation
from wfn.methods.lq_nets import LearnedBases
from wfn.methods.lsq import LearnedStepSizes
from wfn.methods.pwfn import ProbabilisticWeightFixing
from wfn.methods.uniform import UniformRounding
from wfn.methods.weight_fixing import WeightFixing
from wfn.methods.weight_sharing import KMeansSharing

QUICK = {"epochs": 1, "learning_rate": 0.02, "distillation": 1.0}
METHODS = (
    lambda **options: WeightFixing(delta=0.05, shares=(0.5, 1.0), **QUICK, **options),
    lambda **options: KMeansSharing(clusters=8, iterations=2, **QUICK, **options),
    lambda **options: EntropyConstrained(iterations=2, **QUICK, **options),
    lambda **options: LearnedStepSizes(iterations=2, **QUICK, **options),
    lambda **options: LearnedBases(iterations=2, **QUICK, **options),
    lambda **options: DeepKMeans(clusters=4, iterations=2, **QUICK, **options),
    lambda **options: KernelQuantisation(index_bits=2, shares=(0.5, 1.0), **QUICK, **options),
    lambda **options: ProbabilisticWeightFixing(shares=(0.5, 1.0), start_share=1.0, samples=1, **QUICK, **options),
    lambda **options: ClusterOnTheFly(iterations=2, samples=1, **QUICK, **options),
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


def losses_of(method):
    """What each epoch made small: it depends on the teacher where no weight has reached another value yet."""
    told = []
    method.compress(small_networks.build("convolutional"), small_networks.data(), observe=told.append)
    return [event.scores["train_loss"] for event in told if isinstance(event, Epoch)]


def test_it_is_the_network_itself_unless_another_is_named(save):
    model, data = small_networks.build("convolutional"), as_data(small_networks.data())
    assert teacher_of(model, data, "", "") is model
    other = teacher_of(model, data, save, "")
    assert torch.equal(other[-1].weight, -model[-1].weight) and torch.equal(other[0].weight, model[0].weight)
    named = teacher_of(model, data, "", f"{HERE}:other_network")
    assert torch.equal(named[1].weight, other_network()[1].weight)


def test_mirrored_it_gives_the_mean_of_both_views():
    model, data = small_networks.build("convolutional").eval(), as_data(small_networks.data())
    mirrored, images = teacher_of(model, data, "", "", True), next(iter(data.test))[0]
    either = [torch.stack([model(one[None])[0] for one in some]) for some in (images, images.flip(3))]
    torch.testing.assert_close(mirrored(images), torch.stack(either).mean(0))
    torch.testing.assert_close(mirrored(images), mirrored(images.flip(3)))
    assert isinstance(mirrored, MirrorAverage) and mirrored.network is model


def test_what_is_no_image_of_one_class_cannot_be_mirrored():
    flat = as_data(tuple((torch.rand(8, 72), torch.arange(8) % 3) for _ in range(2)))
    with pytest.raises(UserError, match="teacher_mirrored=True is for images"):
        teacher_of(nn.Linear(72, 3), flat, "", "", True)
    pixels = as_data(
        tuple((torch.rand(8, 1, 4, 4), torch.arange(8 * 16).reshape(8, 4, 4) % 3) for _ in range(2)),
        task="segmentation",
    )
    with pytest.raises(UserError, match="teacher_mirrored=True is for images"):
        teacher_of(nn.Conv2d(1, 3, 1), pixels, "", "", True)


@pytest.mark.parametrize("make", METHODS)
def test_methods_learn_from_the_one_that_is_given(make, save):
    own = weights_of(make())
    assert torch.equal(own, weights_of(make()))
    assert not torch.equal(own, weights_of(make(teacher=save)))
    assert not torch.equal(own, weights_of(make(teacher_model=f"{HERE}:other_network")))


@pytest.mark.parametrize("make", METHODS)
def test_methods_learn_from_both_views_where_the_teacher_is_mirrored(make):
    losses = losses_of(make())
    assert losses and all(
        one != other for one, other in zip(losses, losses_of(make(teacher_mirrored=True)), strict=True)
    )


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
        check_teacher(share, teacher, network, False)


def test_mirroring_a_teacher_that_teaches_nothing_is_refused():
    with pytest.raises(UserError, match="teacher_mirrored=True has no effect with distillation=0"):
        check_teacher(0.0, "", "", True)


@pytest.mark.parametrize("make", METHODS)
def test_a_method_says_what_it_learns_from(make, save):
    assert make().learns_from == "float network's outputs"
    assert make(teacher=save).learns_from == "another network's outputs"
    of_shares = {share: replace(make(), distillation=share) for share in (0.0, 0.5)}
    assert of_shares[0.0].learns_from == "labels"
    assert of_shares[0.5].learns_from == "labels and float network's outputs"
    untrained = {"epochs": 0, "start_epochs": 0} if isinstance(make(), ProbabilisticWeightFixing) else {"epochs": 0}
    assert replace(make(), **untrained).learns_from == "no training"


def test_methods_that_have_no_teacher_say_what_they_learn_from_too():
    assert FloatNetwork().learns_from == UniformRounding().learns_from == "no training"
    assert DeepEnsemble().learns_from == "labels"
    assert object.__new__(Ec2tSave).learns_from == "as its authors trained it"
    assert WeightFixing(epochs=0, value_epochs=1).learns_from == "labels"
    assert ProbabilisticWeightFixing(epochs=0).learns_from == "labels"  # its first stage has epochs of its own
