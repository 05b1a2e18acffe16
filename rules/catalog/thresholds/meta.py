"""The monitoring itself: when it is slow, silent or deaf."""

from rules.catalog.thresholds.threshold import Threshold

META = (
    Threshold(
        "rule_group_busy_high_ratio",
        0.8,
        "ratio",
        "Mean duration of a rule group over its interval from which evaluations are about to be left out.",
        "[G]",
    ),
    Threshold(
        "recommender_loop_idle_seconds",
        600,
        "seconds",
        "Time without a step from which a loop of the recommender hangs: twice as long as a restart command may take.",
        "[G]",
    ),
    Threshold(
        "recommender_backlog_old_seconds",
        600,
        "seconds",
        "Age of an alert that nobody has looked at from which alerts are not worked off.",
        "[G]",
    ),
    Threshold(
        "watchdog_silent_seconds",
        900,
        "seconds",
        "Time without the Watchdog, which is sent every minute, from which no alert reaches the recommender.",
        "[G]; the recommender's own health page says so after the same time",
    ),
)
