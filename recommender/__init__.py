"""From an alert to one sized, verified engine change."""
