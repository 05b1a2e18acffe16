"""From an Alertmanager notification to incidents: parsing is pure, recording is one transaction of the store."""
