"""What holds of every bottleneck: it ends in an explained plan; neither a look-alike nor the unknown is acted on."""

from recommender.diagnosis import CONFIDENCE_FLOOR, diagnose
from recommender.model import DiagnosisStatus, Evidence
from recommender.planner import make_plan
from recommender.playbooks import PlanContext
from rules.catalog import Bottleneck


def assert_ends_in_advice(evidence: Evidence, bottleneck: Bottleneck, context: PlanContext) -> None:
    """The alert's bottleneck is the root, believed, and its plan says what to do and changes no knob."""
    diagnosis = diagnose(evidence, frozenset({bottleneck}))
    assert diagnosis.status is DiagnosisStatus.DIAGNOSED, diagnosis.text
    assert diagnosis.root is not None
    assert diagnosis.root.bottleneck is bottleneck
    assert diagnosis.root.confidence >= CONFIDENCE_FLOOR
    plan = make_plan(diagnosis, evidence, context)
    assert plan is not None
    assert plan.change is None
    assert plan.advice


def assert_spoken_against(evidence: Evidence, bottleneck: Bottleneck) -> None:
    """Something that was read speaks against the alert, so that nothing of it is believed."""
    diagnosis = diagnose(evidence, frozenset({bottleneck}))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert diagnosis.findings[0].confidence == 0.0


def assert_unknown(evidence: Evidence, bottleneck: Bottleneck) -> None:
    """What would confirm the alert could not be read: it is named, and nothing is done."""
    diagnosis = diagnose(evidence, frozenset({bottleneck}))
    assert diagnosis.status is DiagnosisStatus.NOT_ENOUGH_EVIDENCE
    assert diagnosis.missing
