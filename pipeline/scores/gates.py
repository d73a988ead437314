"""What is asked of the model of a run."""

from dataclasses import replace

from landshift.pipeline.formatting import percent
from landshift.pipeline.gates import MARK, NOT_MEASURED, PASS, RULES, Caution, Gate, GateRules, judge, judge_unknown
from landshift.pipeline.scores.reliability import KnownCalibration


def model_gates(
    *,
    beyond: float | None,
    calibration: KnownCalibration,
    same_images: bool,
    adaptation: str,
    is_verified: bool,
    verdict: str | None,
    rules: GateRules = RULES,
) -> tuple[Gate, ...]:
    """Ask what a reader of the map has to know of its model before trusting it.

    Args:
        beyond: Share of the territory past the edge of what the training regions hold, 0..1; None where not known.
        calibration: What is known of it.
        same_images: Whether the model was trained on the images that it maps.
        adaptation: Method; `none` where the images were used as they are.
        is_verified: Whether labels of this territory confirmed that it helps.
        verdict: Of the assessment: `helps`, `no evidence` or `hurts`; None where transfer was not assessed.
        rules: Limits, and what happens beyond them.
    """
    return (
        _likeness(beyond, rules),
        calibration_gate(calibration, rules),
        Gate(
            "Images of the training", "these images" if same_images else "other images", "these images",
            PASS if same_images else MARK,
            meaning="The test blocks lie in these images."
            if same_images
            else "The model was trained on other images than these; its scores need not hold here.",
        ),
        _adaptation(adaptation, is_verified),
        _transfer(verdict),
    )  # fmt: skip


def calibration_gate(known: KnownCalibration, rules: GateRules = RULES) -> Gate:
    """Ask whether probabilities can be read as shares of changed pixels in these images.

    An error on other images is no answer: a model that is calibrated at home can be sure and wrong elsewhere.

    Args:
        known: What is known of the calibration.
        rules: With `calibration_error`.
    """
    name, limit = "Calibration on these images", f"error of at most {rules['calibration_error'].limit:.2f}"
    if known.here is None:
        own = "" if known.elsewhere is None else f" (its error there: {known.elsewhere:.3f})"
        reason = (
            f"Uncalibrated here: the model was calibrated on other images{own}, and no labels of these images show how often "
            f"its probabilities are right. Read them as a ranking."
        )
        remedy = "`landshift assess` measures them where labels are."
        unknown = judge_unknown("calibration_error", name, rules, limit=limit, reason=reason, remedy=remedy)
        return replace(unknown, found="not measured here")
    return judge(
        "calibration_error", name, known.here, rules, found=f"error of {known.here:.3f}", limit=limit,
        met="On held-out labels of these images the probability of change is about the share of pixels that changed.",
        missed=Caution(
            f"On held-out labels of these images, probabilities were off by {known.here:.2f} on average: read the "
            f"probability of change as a ranking, not as a share.",
        ),
    )  # fmt: skip


def _likeness(beyond: float | None, rules: GateRules) -> Gate:
    name, limit = "Likeness to the training regions", f"at most {percent(rules['domain_shift'].limit)} beyond their edge"
    if beyond is None:
        reason = "The model does not hold what its training regions look like."
        return judge_unknown("domain_shift", name, rules, limit=limit, reason=reason)
    return judge(
        "domain_shift", name, beyond, rules, found=f"{percent(beyond)} beyond their edge", limit=limit,
        met="The territory, and the difference of its dates, look like what the model was trained on; 5 % lie beyond by "
        "definition.",
        missed=Caution(
            f"{percent(beyond)} of the territory looks unlike 95 % of the blocks that the model was trained on, on its "
            f"dates or in how they differ: its scores need not hold there.", "See domain_shift.tif.",
        ),
    )  # fmt: skip


def _adaptation(method: str, verified: bool) -> Gate:
    name, limit = "Adaptation to the territory", "none, or confirmed by labels"
    if method == "none":
        return Gate(name, "none", limit, PASS, meaning="Beyond the match of their dates, the images were used as they are.")
    return Gate(
        name, f"{method}, {'confirmed' if verified else 'unverified'}", limit, PASS if verified else MARK,
        meaning="Labels of this territory confirmed that the adaptation helps."
        if verified
        else f"The images were adapted ({method}), and no label of this territory confirmed that it helps: unverified.",
    )  # fmt: skip


def _transfer(verdict: str | None) -> Gate:
    name, limit = "Transfer from the encoder's source", "does not hurt"
    if verdict is None:
        return Gate(
            name, "not known", limit, NOT_MEASURED, meaning="Whether the pretrained encoder helps here was not assessed."
        )
    hurts = verdict == "hurts"
    return Gate(
        name, verdict, limit, MARK if hurts else PASS,
        meaning="The assessment found that the pretrained encoder hurts in this territory." if hurts
        else "Short trainings were compared with random weights in regions that were held out.",
    )  # fmt: skip
