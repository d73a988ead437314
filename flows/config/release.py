"""The section `release` of a configuration: when a newly trained model replaces the one in use."""

from pydantic import Field

from landshift.flows.config.sections import Section
from landshift.pipeline.scores.release import ReleaseRule, Undecided

_USUAL = ReleaseRule()


class ReleaseConfig(Section):
    """When a newly trained model replaces the one in use: only where it is worse in no region."""

    automatic: bool = True
    """Whether `landshift train` promotes a model that passes; else a person does, with `landshift release promote`."""
    tolerance: float = Field(default=_USUAL.tolerance, ge=0, le=1)
    """Loss in F1 that a region may show on the held-out labels; a larger one refuses the new model."""
    min_blocks: int = Field(default=_USUAL.min_blocks, ge=2, le=10_000)
    """Held-out blocks with change that a region needs to be judged."""
    regions: int = Field(default=4, ge=1, le=20)
    """Parts that a territory is cut into, at most, where its labels name no regions."""
    undecided: Undecided = _USUAL.undecided
    """Where labels are too few to judge a region: `refuse` the new model, or `promote` it all the same."""

    @property
    def rule(self) -> ReleaseRule:
        """The limits, as the pipeline takes them."""
        return ReleaseRule(self.tolerance, self.min_blocks, self.undecided)
