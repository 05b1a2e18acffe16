"""Objectives of services: B21. A burn factor is computed in rules/catalog/slos.py."""

from rules.catalog.slos import BURN_WINDOWS
from rules.catalog.thresholds.threshold import Threshold

SLO = (
    *(
        Threshold(
            window.threshold,
            window.factor,
            "ratio",
            f"Burn rate over {window.long}, and still over {window.short}, that alerts.",
            "§6.3 [V sloth, SRE workbook ch. 5]",
            per_service=True,
        )
        for window in BURN_WINDOWS
    ),
    Threshold(
        "slo_reachable_error_ratio",
        0.9,
        "ratio",
        "Share of bad events that always burns too fast: with a large budget a factor asks for more than everything.",
        "§6.3: at 90 %, use at most 9 instead of 14.4",
    ),
    Threshold(
        "min_slo_events",
        100,
        "events",
        "Events in the long window below which a burn rate judges nothing.",
        "B21, §6.3 [G]",
        per_service=True,
    ),
    Threshold(
        "min_slo_errors",
        10,
        "events",
        "Bad events in 3d that are no accident, however little traffic there is.",
        "[G]",
        per_service=True,
    ),
)
