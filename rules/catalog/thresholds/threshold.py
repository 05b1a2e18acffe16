"""What a threshold is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Threshold:
    """One named figure. `per_service`: rules of replicas and services read it, so a service may have its own."""

    name: str
    default: float
    unit: str
    help: str
    source: str
    per_service: bool = False

    @property
    def series(self) -> str:
        """The recorded series of `rules/thresholds.yml`: a label `service` makes it that service's own."""
        return f"threshold:{self.name}"

    @property
    def resolved(self) -> str:
        """The series that holds for a service: with the label `service` where a service may have its own figure."""
        return f"service:{self.series}" if self.per_service else self.series
