"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: CI has two cores, and tests beside each other.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
