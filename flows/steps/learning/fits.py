"""Whether a training can begin, before any long work."""

from landshift.flows.steps.learning.fitting import encoder_of
from landshift.flows.steps.project.plan import Plan
from landshift.flows.steps.project.workspace import Workspace


def require_encoder_fits(ws: Workspace, made: Plan) -> None:
    """Refuse an encoder that there is not, or that takes none of the bands.

    Raises:
        InputError: As `fitting.encoder_of` and `bands.match_bands`.
    """
    from landshift.models.encoders.bands import match_bands

    match_bands(encoder_of(ws), made.bands, made.wavelengths_nm, extra=ws.project.model.extra_bands)
