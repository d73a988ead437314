"""A network starts from IR-MAD where the training labels agree with it, and without it where they do not."""

import numpy as np
import pytest
import torch
from torch import Tensor

from landshift.models.network.priors import start_from_priors
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
from landshift.pipeline.legend import NOT_LABELLED
from tests import small_network

BANDS = ("red", "nir")
SPEC = NetworkSpec("tu-test_efficientnet", BANDS, BANDS, "change", 0, decoder_channels=(32, 16, 16, 8, 8), priors=("ir-mad",))


class Drawn(list[dict[str, Tensor]]):
    """Two chips: changed pixels have a prior of about 3, the others of about 1, or the other way round."""

    def __init__(self, *, agree: bool = True, kinds: int = 2) -> None:
        rng = np.random.default_rng(0)
        for _ in range(2):
            label = rng.integers(0, kinds, (32, 32))
            prior = np.where((label == 1) == agree, 3.0, 1.0) + 0.5 * rng.normal(size=label.shape)
            prior[0, 0] = np.nan
            label[1] = NOT_LABELLED
            self.append({"priors": torch.from_numpy(prior[None].astype(np.float32)), "change_label": torch.from_numpy(label)})


def network() -> ChangeNetwork:
    return small_network.network_of(SPEC)


def odds(net: ChangeNetwork, prior: float) -> float:
    with torch.no_grad():
        return float(net.prior(torch.full((1, 1, 1, 1), prior)))


def test_it_starts_where_the_labels_draw_the_line() -> None:
    net = network()
    assert start_from_priors(net, Drawn())
    assert odds(net, 2.0) == pytest.approx(0, abs=0.3)
    assert odds(net, 3.0) > 2
    assert odds(net, 1.0) < -2


def test_labels_that_contradict_ir_mad_switch_it_off() -> None:
    net = network()
    assert start_from_priors(net, Drawn(agree=False))
    assert odds(net, 0.0) == odds(net, 5.0) == 0


def test_labels_of_one_kind_leave_the_start_as_it_is() -> None:
    net = network()
    before = odds(net, 2.5)
    assert not start_from_priors(net, Drawn(kinds=1))
    assert odds(net, 2.5) == before


def test_a_network_without_priors_has_nothing_to_start_from() -> None:
    assert not start_from_priors(small_network.network_of(), Drawn())
