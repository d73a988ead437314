"""Fit: an encoder, a strategy and a budget to one trained network that is not yet calibrated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landshift.flows.config.learning import TrainingConfig
from landshift.flows.runtime.versions import versions
from landshift.flows.steps.images.epochs import Pair
from landshift.flows.steps.learning.priors import choose_priors
from landshift.flows.steps.project.plan import Plan, legend_of
from landshift.flows.steps.project.workspace import Workspace, require_no_model
from landshift.pipeline.errors import InputError
from landshift.pipeline.labels.search import TRAIN, VALIDATION
from landshift.pipeline.labels.splits import DividedLabels
from landshift.pipeline.labels.values import share_changed
from landshift.pipeline.legend import Legend
from landshift.pipeline.manifest import file_hash
from landshift.pipeline.raster.images import BandStatistics
from landshift.pipeline.scores.training import Fit

if TYPE_CHECKING:
    from landshift.models.encoders.bands import Encoder
    from landshift.models.encoders.normalisation import Normalisation
    from landshift.models.network.learner import TrainingSettings
    from landshift.models.network.samples import Masks
    from landshift.models.network.siamese import Siamese
    from landshift.models.use.bundle import Bundle


@dataclass(frozen=True)
class Recipe:
    """What is trained, and with which budget."""

    encoder: "Encoder"
    """Row of the encoder table, or a checkpoint."""
    strategy: str
    """Row of `strategies.STRATEGIES`."""
    seed: int
    """Of weights and chips."""
    epochs: int
    """At most."""
    chips_per_epoch: int
    """Chips drawn in an epoch."""


@dataclass(frozen=True)
class Built:
    """A network before its training."""

    network: "Siamese"
    """On the CPU."""
    encoder: "Encoder"
    """The row that it was built from; a random one of the same architecture where the strategy starts from scratch."""
    normalisation: "Normalisation"
    """Mean and deviation of each band that enters."""
    notes: tuple[str, ...]
    """What was done about bands, units and decoder, in sentences."""
    weights_hash: str
    """`sha256:...` of what was loaded."""


def encoder_of(ws: Workspace) -> "Encoder":
    """Return the row of the encoder table, or the checkpoint, that the config names.

    Raises:
        InputError: There is no such row or file.
    """
    return encoder_called(ws, ws.project.model.encoder)


def encoder_called(ws: Workspace, name: str) -> "Encoder":
    """Return an encoder by its name in a config; `file` is the config's own checkpoint, or a model from elsewhere.

    Raises:
        InputError: There is no such row or file, or it lacks what it has to come with.
    """
    from landshift.models.encoders.table import encoder_named, file_encoder

    config = ws.project.model.file
    if name != "file" or config is None:
        return encoder_named(name)
    path = ws.input(config.path, "model: file: path")
    if path.is_dir():
        from landshift.models.use.source import encoder_of_model

        return encoder_of_model(path)
    if path.is_file() and not (config.architecture and config.bands):
        raise InputError(f"model: file: {config.path} is a checkpoint: give its `architecture` and `bands`, in its order.")
    return file_encoder(path, architecture=config.architecture, bands=config.bands, mean=config.mean, std=config.std)


def encoder_label(ws: Workspace) -> str:
    """Return what to call the project's encoder: a checkpoint of one's own by its file."""
    own = ws.project.model.file
    return own.path.name if ws.project.model.encoder == "file" and own is not None else ws.project.model.encoder


def encoder_facts(encoder: "Encoder") -> dict[str, Any]:
    """Return what a training depends on; a local file counts by its content."""
    facts = asdict(encoder)
    return {**facts, "weights": file_hash(Path(encoder.weights))} if encoder.source == "file" else facts


@dataclass(frozen=True)
class ModelInput:
    """What a network is given."""

    bands: tuple[str, ...]
    """In order."""
    wavelengths_nm: Mapping[str, float]
    """Centre wavelength of each band that has a known one."""
    units: str
    """Of the values: those of the sensor, or `standardised values`, which have no unit that an encoder could know."""
    statistics: BandStatistics
    """Over both dates together."""


STANDARDISED = "standardised values"


def build_network(
    ws: Workspace, prepared: Pair, encoder: "Encoder", strategy: str, seed: int, priors: Sequence[str] = ()
) -> Built:
    """Build a network for the images of a project, as `build_for`."""
    made = prepared.plan
    units = STANDARDISED if prepared.radiometry.treatment.standardised else made.sensor.units
    given = ModelInput(made.bands, made.wavelengths_nm, units, prepared.source.statistics())
    return build_for(ws, given, encoder, strategy, seed=seed, priors=priors)


def build_for(
    ws: Workspace, given: ModelInput, encoder: "Encoder", strategy: str, *, seed: int, priors: Sequence[str] = ()
) -> Built:
    """Load an encoder for the project's bands and put the decoders on it; the same seed gives the same weights.

    Args:
        ws: The project.
        given: Bands and values that the network will see.
        encoder: Row of the encoder table, or a checkpoint.
        strategy: Row of the table of strategies.
        seed: Of the decoders' weights.
        priors: What the change decoder sees beside the features, of `matching.PRIORS`.

    Raises:
        InputError: The encoder's bands or units do not fit, or its weights cannot be had.
    """
    from landshift.models.encoders.normalisation import normalisation_for
    from landshift.models.encoders.table import encoder_named
    from landshift.models.encoders.weights import load_encoder
    from landshift.models.estimators.model import model_of
    from landshift.models.network.siamese import ChangeNetwork, NetworkSpec
    from landshift.models.network.strategies import strategy_named
    from landshift.models.network.training import seed_everything

    config, legend = ws.project.model, legend_of(ws.project)
    if not strategy_named(strategy).pretrained:
        encoder = encoder_named(f"random:{encoder.architecture}")
    seed_everything(seed)
    loaded = load_encoder(encoder, given.bands, extra=config.extra_bands, wavelengths=given.wavelengths_nm)
    normalisation = normalisation_for(
        encoder, given.bands, given.units, (given.statistics.mean, given.statistics.std), wavelengths=given.wavelengths_nm,
        extra=config.extra_bands,
    )  # fmt: skip
    heads = ws.project.heads
    spec = NetworkSpec(
        encoder.architecture, given.bands, loaded.bands, heads, classes=0 if heads == "change" else len(legend.classes),
        decoder=config.decoder, fusion=config.fusion, decoder_channels=config.decoder_channels,
        landuse_channels=config.landuse_channels, priors=tuple(priors),
        estimator=strategy_named(strategy).estimator,
    )  # fmt: skip
    network = model_of(spec, loaded.model, normalisation)
    notes = [*loaded.notes, *normalisation.notes]
    if loaded.decoder_state is not None and isinstance(network, ChangeNetwork):
        taken = network.load_decoder(loaded.decoder_state)
        started = ", ".join(taken) or "none (bands, decoder, fusion or priors differ)"
        notes.append(f"The pretrained decoder starts these decoders: {started}.")
    return Built(network, encoder, normalisation, tuple(notes), weights_hash=loaded.weights_hash)


def fit_network(
    ws: Workspace,
    prepared: Pair,
    recipe: Recipe,
    masks: DividedLabels,
    checkpoints: Path,
    advance: Callable[[float], None],
) -> "tuple[Bundle, Siamese]":
    """Train one model: a network, or what decides on the features of a frozen encoder.

    Args:
        ws: The project.
        prepared: Its images.
        recipe: What to train.
        masks: The labels, divided.
        checkpoints: Keeps the state of a training that is interrupted.
        advance: Called with the share done, 0..1.

    Raises:
        InputError: The encoder does not fit, or the training split has no label.
        landshift.models.network.training.Diverged: The loss is not finite.
    """
    from landshift.models.estimators.fit import fit_pixels
    from landshift.models.estimators.model import PixelModel
    from landshift.models.network.samples import masks_of
    from landshift.models.use.bundle import Bundle, Provenance, TrainingImages
    from landshift.models.use.inference import device_of
    from landshift.pipeline.scores.training import Temperatures

    project, legend = ws.project, legend_of(ws.project)
    labels, role = masks.labels, masks.role
    priors, why = choose_priors(ws, prepared, masks, recipe.strategy)
    built = build_network(ws, prepared, recipe.encoder, recipe.strategy, seed=recipe.seed, priors=priors)
    codes, notes = [c.code for c in legend.classes], (*built.notes, why)
    training, validation = (masks_of(labels, role, wanted, codes) for wanted in (TRAIN, VALIDATION))
    network = built.network
    if isinstance(network, PixelModel):
        fitted = fit_pixels(
            network, prepared.source, training, validation, seed=recipe.seed, device=device_of(project.detect.device),
            advance=advance,
        )  # fmt: skip
        result, notes = fitted.fit, (*notes, *fitted.notes)
    else:
        course = _Course(project.training, recipe, training, validation)
        result = _fit_decoders(network, prepared, course, checkpoints, advance=advance)
    facts = Provenance(
        seed=recipe.seed, fit=result, weights_hash=built.weights_hash, inputs=TrainingImages(*prepared.hashes),
        training_regions=prepared.source.statistics(role == TRAIN), versions=versions(), strategy=recipe.strategy,
        training_changed=share_changed(labels.change[role == TRAIN]),
    )  # fmt: skip
    encoder, spec = built.encoder, built.network.spec
    bundle = Bundle(
        name=project.name, spec=spec, encoder=replace(encoder, weights=Path(encoder.weights).name),
        units=prepared.plan.sensor.units, treatment=prepared.radiometry.treatment, normalisation=built.normalisation,
        legend=Legend() if spec.heads == "change" else legend, temperatures=Temperatures(), threshold=0.5,
        notes=notes, facts=facts,
    )  # fmt: skip
    return bundle, built.network


@dataclass(frozen=True)
class _Course:
    """Settings and labels of the training of a network."""

    config: TrainingConfig
    recipe: Recipe
    training: "Masks"
    validation: "Masks"


def _fit_decoders(
    network: "Siamese", prepared: Pair, course: _Course, checkpoints: Path, *, advance: Callable[[float], None]
) -> Fit:
    from landshift.models.network.cache import keep_pixels
    from landshift.models.network.priors import start_from_priors
    from landshift.models.network.samples import Augmentation, LabelledTiles, TrainingChips
    from landshift.models.network.siamese import ChangeNetwork
    from landshift.models.network.training import fit

    if not isinstance(network, ChangeNetwork):
        raise TypeError(f"{type(network).__name__} has no decoders to train.")
    config, recipe, priors, masks = course.config, course.recipe, network.spec.priors, (course.training, course.validation)
    with keep_pixels(prepared.source, masks, checkpoints, size=config.chip, priors=priors) as pair:
        training = TrainingChips(
            pair, course.training, priors=priors, size=config.chip, count=recipe.chips_per_epoch, seed=recipe.seed,
            augmentation=Augmentation(**vars(config.augmentation)),
        )  # fmt: skip
        tiles, validation = (LabelledTiles(pair, m, priors=priors, size=config.chip) for m in masks)
        start_from_priors(network, tiles)
        return fit(network, training, validation, settings_of(config, recipe), folder=checkpoints, advance=advance)


def settings_of(config: TrainingConfig, recipe: Recipe) -> "TrainingSettings":
    """Return how long and how a network is trained."""
    from landshift.models.network.learner import TrainingSettings
    from landshift.models.network.strategies import strategy_named

    return TrainingSettings(
        strategy_named(recipe.strategy), recipe.epochs, config.batch, config.learning_rate, weight_decay=config.weight_decay,
        patience=config.patience, loss=config.loss, seed=recipe.seed, workers=config.workers, precision=config.precision,
    )  # fmt: skip


def require_mapper(ws: Workspace, made: Plan) -> None:
    """Refuse what cannot map the changes: a model that does not fit, or a model where a classical method is asked for.

    Raises:
        InputError: As `require_model_fits`, or a model is named that would not be used.
    """
    if ws.project.detect.method == "model":
        require_model_fits(ws, made)
    else:
        require_no_model(ws)


def require_model_fits(ws: Workspace, made: Plan) -> "Bundle":
    """Refuse a model whose bands, units or legend are not those of the images and the config.

    Raises:
        InputError: One of these differs.
    """
    from landshift.models.use.bundle import describe

    bundle = describe(ws.model_in_use)
    if bundle.spec.image_bands != made.bands:
        raise InputError(
            f"The model {ws.model_in_use} needs the bands {', '.join(bundle.spec.image_bands)}; the scenes give "
            f"{', '.join(made.bands)}. Set `bands:` to the model's, or train again."
        )
    if bundle.units != made.sensor.units:
        raise InputError(
            f"The model was trained on {bundle.units}, the scenes are in {made.sensor.units}. "
            f"Correct `sensor:`, or train again."
        )
    wanted = [(c.code, c.name) for c in ws.project.legend]
    if wanted and bundle.spec.heads != "change" and wanted != [(c.code, c.name) for c in bundle.legend.classes]:
        raise InputError(
            f"The model {ws.model_in_use} maps {', '.join(f'{c.code} {c.name}' for c in bundle.legend.classes)}; the config's "
            f"legend is {', '.join(f'{code} {name}' for code, name in wanted)}. Make them the same, or train again."
        )
    return bundle


def require_same_treatment(ws: Workspace, prepared: Pair) -> None:
    """Refuse images that were brought to another radiometry than those that the model was trained on.

    A classical method sees the images as they are.

    Raises:
        InputError: Names both, why, and what to do.
    """
    if ws.project.detect.method != "model":
        return
    from landshift.models.use.bundle import describe

    bundle, radiometry = describe(ws.model_in_use), prepared.radiometry
    wanted, given = bundle.treatment, radiometry.treatment
    why = f" {' '.join(radiometry.notes)}" if radiometry.notes else ""
    if wanted != given:
        raise InputError(
            f"The model {ws.model_in_use} was trained on pairs with {wanted}; these images have {given}.{why} A map made so "
            f"would look fine and be wrong. Set `radiometry: {wanted.setting}` as it was for the training, choose dates that "
            f"can be matched, or train again."
        )
    if bundle.spec.priors and radiometry.statistic is None:
        raise InputError(
            f"The model {ws.model_in_use} looks at the IR-MAD statistic of the pair, which these images do not have.{why} "
            f"Choose other dates, or train a model with `model: priors: []`."
        )
