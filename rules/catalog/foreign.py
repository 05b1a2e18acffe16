"""Series of others that rules and runbooks read, by the names of Prometheus 2.42 and Alertmanager 0.25."""

FOREIGN_SERIES = frozenset(
    {
        # Prometheus's own, of every target and of every alert
        "up",
        "scrape_duration_seconds",
        "ALERTS",
        # Prometheus
        "prometheus_notifications_alertmanagers_discovered",
        "prometheus_notifications_dropped_total",
        "prometheus_notifications_errors_total",
        "prometheus_rule_evaluation_failures_total",
        "prometheus_rule_group_interval_seconds",
        "prometheus_rule_group_iterations_missed_total",
        "prometheus_rule_group_last_duration_seconds",
        # Alertmanager
        "alertmanager_notifications_failed_total",
        # The recommender: recommender/telemetry.py, recommender/heartbeats.py and recommender/metrics.py
        "optiinfra_component_up",
        "optiinfra_intake_backlog",
        "optiinfra_intake_oldest_pending_seconds",
        "optiinfra_loop_idle_seconds",
        "optiinfra_watchdog_silent_seconds",
        "optiinfra_objective",
        "optiinfra_replica_cost_per_hour",
        "optiinfra_replica_knob",
        "optiinfra_roofline",
        "optiinfra_webhook_notifications_total",
        "optiinfra_workflows",
        "optiinfra_workflows_in_flight",
    }
)

# Exporters of others: what their series begin with, by the source file that reads them.
FOREIGN_PREFIXES: dict[str, str] = {
    "sources/node_exporter.yml": "node_",
    "sources/nvidia_gpu_exporter.yml": "nvidia_smi_",
}
