"""IR-MAD enters a network only where it tells the labels of the territory apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landshift.flows.steps.learning.labelling import read_masks
from landshift.flows.steps.learning.priors import choose_priors
from landshift.pipeline.epochs.matching import AS_IT_IS
from landshift.pipeline.legend import NOT_LABELLED
from tests.binary_territory import BinaryTerritory, Ready


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return Ready(BinaryTerritory(tmp_path_factory.mktemp("place")).workspace())


def test_where_it_orders_the_labels_it_is_a_prior(ready: Ready) -> None:
    priors, why = choose_priors(ready.ws, ready.prepared, read_masks(ready.ws), "full")
    assert priors == ("ir-mad",)
    assert "area under the curve on the training labels is" in why


def test_where_the_labels_contradict_it_it_is_none(ready: Ready) -> None:
    masks = read_masks(ready.ws)
    change = masks.labels.change
    against = np.where(change == NOT_LABELLED, NOT_LABELLED, 1 - change).astype(np.uint8)
    other = replace(masks, labels=replace(masks.labels, change=against))
    priors, why = choose_priors(ready.ws, ready.prepared, other, "full")
    assert priors == ()
    assert "does not see" in why
    assert choose_priors(ready.ws, ready.prepared, other, "boosted")[0] == ("ir-mad",), "trees ask it on their own terms"


def test_a_config_that_names_them_is_followed(ready: Ready, tmp_path: Path) -> None:
    model = ready.ws.project.model.model_copy(update={"priors": ("difference",)})
    ws = replace(ready.ws, project=ready.ws.project.model_copy(update={"model": model}))
    assert choose_priors(ws, ready.prepared, read_masks(ready.ws), "full")[0] == ("difference",)


def test_a_pair_without_the_statistic_has_none(ready: Ready) -> None:
    bare = replace(ready.prepared, radiometry=AS_IT_IS)
    assert choose_priors(ready.ws, bare, read_masks(ready.ws), "full")[0] == ()
