"""A reading that failed and yet has something to say."""

from exporters.errors import ReadError
from exporters.families import FamilySet


class PartialRead(ReadError):
    """The reading failed; `families` are what is known all the same: that a device is down, what was counted."""

    def __init__(self, why: str, families: FamilySet) -> None:
        super().__init__(why)
        self.families = families
