"""Thresholds and objectives: every figure that a rule or a diagnosis compares with, named and overridable.

A threshold is the recorded series `threshold:<name>` of `rules/thresholds.yml` (one file a site edits); with a label
`service` it is that service's own. `rules/service_thresholds.yml` resolves the two to `service:threshold:<name>`. An
objective comes from the inventory as `optiinfra_objective{service,objective}` and is resolved to
`service:objective:<name>`, with the threshold `threshold:objective_<name>` as default. The values here are the shipped
defaults; a test holds them equal to the YAML. `source` cites `tuning.md`; `[G]` marks a guess to calibrate.
"""

from rules.catalog.thresholds.capacity import CAPACITY
from rules.catalog.thresholds.fleet import FLEET
from rules.catalog.thresholds.gpu import GPU
from rules.catalog.thresholds.host import HOST
from rules.catalog.thresholds.inference import INFERENCE
from rules.catalog.thresholds.meta import META
from rules.catalog.thresholds.objectives import OBJECTIVES, Objective
from rules.catalog.thresholds.scores import SCORES
from rules.catalog.thresholds.slo import SLO
from rules.catalog.thresholds.threshold import Threshold

__all__ = ["OBJECTIVES", "THRESHOLDS", "Objective", "Threshold"]

THRESHOLDS: dict[str, Threshold] = {
    threshold.name: threshold for threshold in (*INFERENCE, *FLEET, *GPU, *HOST, *META, *SLO, *SCORES, *CAPACITY)
}
