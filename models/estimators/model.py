"""A model that decides each pixel by itself, from values at it and around it: boosted trees or a line in place of decoders."""

import torch
from torch import Tensor, nn

from landshift.models.encoders.normalisation import Normalisation
from landshift.models.estimators.trees import Trees
from landshift.models.estimators.values import Fields, date_fields, pair_fields
from landshift.models.network.decoder import cut
from landshift.models.network.siamese import ChangeNetwork, NetworkSpec, Output, Siamese
from landshift.pipeline.tiles import STRIDE


class Line(nn.Module):
    """Multinomial logistic regression on standardised values."""

    mean: Tensor
    std: Tensor
    weights: Tensor
    bias: Tensor

    def __init__(self, classes: int, values: int) -> None:
        """Hold the weights of a line that knows nothing, until it is fitted or loaded."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("std", torch.ones(values))
        self.register_buffer("weights", torch.zeros(classes, values))
        self.register_buffer("bias", torch.zeros(classes))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logit of each class, float32 (n, class), for values (n, d)."""
        return ((rows - self.mean) / self.std) @ self.weights.T + self.bias


class PixelModel(Siamese):
    """A frozen encoder, the values of a pixel and around it, and an estimator of its change and of its land use.

    One estimator decides whether a pixel changed; where the legend asks for land use, another decides it for each date. The
    values of a pair are the same whichever date comes first, and both dates share an estimator: swapping the dates swaps from
    and to exactly.
    """

    def __init__(self, spec: NetworkSpec, encoder: nn.Module, normalisation: Normalisation) -> None:
        """Build it with estimators that know nothing, until they are fitted or loaded.

        Args:
            spec: With an `estimator` that is not `network`.
            encoder: Gives a list of feature maps at strides 1, 2, 4, ... with their channels in `out_channels`.
            normalisation: Mean and deviation for each band of `spec`.

        Raises:
            InputError: Another number of means or deviations than of bands.
        """
        super().__init__(spec, encoder, normalisation)
        self.requires_grad_(False)
        pair, date = self._count_values()
        self.change = _estimator(spec, 2, pair) if spec.heads != "landuse" else None
        self.landuse = _estimator(spec, spec.classes, date) if spec.heads != "change" else None

    @torch.no_grad()
    def _count_values(self) -> tuple[int, int]:
        """Return how many values a pixel has of both dates, and of one."""
        self.encoder.eval()
        maps = self.encode(torch.zeros(1, len(self.spec.image_bands), 64, 64))
        priors = torch.zeros(1, self.spec.prior_channels, 64, 64) if self.spec.priors else None
        return self.pair(maps, maps, priors)[0].count, self.date(maps)[0].count

    def pair(self, before: list[Tensor], after: list[Tensor], priors: Tensor | None) -> list[Fields]:
        """Return what is known of the change of each pixel, for each pair of a batch; arguments as for `decode`."""
        seen = None if priors is None else torch.nan_to_num(priors, nan=0.0, posinf=0.0)
        return [
            pair_fields([m[i] for m in before], [m[i] for m in after], None if seen is None else seen[i])
            for i in range(len(before[0]))
        ]

    def date(self, maps: list[Tensor]) -> list[Fields]:
        """Return what is known of each pixel of a date, for each image of a batch."""
        return [date_fields([m[i] for m in maps]) for i in range(len(maps[0]))]

    def decode(self, before: list[Tensor], after: list[Tensor], priors: Tensor | None = None, *, trim: int = 0) -> Output:
        """Decide each pixel.

        Args:
            before: As `encode` returns them.
            after: As `before`.
            priors: (batch, prior, y, x) as `matching.prior_channels` gives them, NaN = not observed; None where the model takes
                none.
            trim: Pixels at each side that are not wanted, a multiple of 32.
        """
        left = min(STRIDE, trim)
        before, after = (
            [cut(part, (trim - left) * part.shape[2] // maps[0].shape[2]) for part in maps] for maps in (before, after)
        )
        priors = None if priors is None else cut(priors, trim - left)
        shape = before[0].shape[2:]
        change = None
        if self.change is not None:
            logits = torch.stack([_decide(self.change, f, shape) for f in self.pair(before, after, priors)])
            change = cut(logits[:, 1] - logits[:, 0], left)
        if self.landuse is None:
            return Output(change, None, None)
        dates = [cut(torch.stack([_decide(self.landuse, f, shape) for f in self.date(maps)]), left) for maps in (before, after)]
        return Output(change, dates[0], dates[1])


def _decide(estimator: nn.Module, fields: Fields, shape: torch.Size) -> Tensor:
    """Return logits (class, y, x)."""
    found = torch.cat([estimator(rows) for rows in fields.rows()])
    return found.T.reshape(found.shape[1], *shape)


def _estimator(spec: NetworkSpec, classes: int, values: int) -> nn.Module:
    return Trees(classes) if spec.estimator == "trees" else Line(classes, values)


def model_of(spec: NetworkSpec, encoder: nn.Module, normalisation: Normalisation) -> Siamese:
    """Build the model that a spec describes, before anything of it is fitted or loaded.

    Raises:
        InputError: Another number of means or deviations than of bands.
    """
    kind = ChangeNetwork if spec.estimator == "network" else PixelModel
    return kind(spec, encoder, normalisation)
