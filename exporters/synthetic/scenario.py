"""What can be shown on synthetic GPUs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Scenario(StrEnum):
    """A state of the node. Others than the first trouble some of its GPUs, not all, as real faults do."""

    HEALTHY = "healthy"
    THROTTLED = "throttled"
    ECC = "ecc"
    XID = "xid"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What ails one device. Times are seconds from the start; None is never."""

    power_capped: bool = False
    hot: bool = False
    ecc_errors: bool = False
    xids: bool = False
    lost_from: float | None = None
    hangs_from: float | None = None


TROUBLES: Mapping[Scenario, Mapping[int, Trouble]] = MappingProxyType(
    {
        Scenario.HEALTHY: {},
        Scenario.THROTTLED: {
            0: Trouble(power_capped=True, hot=True),
            1: Trouble(power_capped=True),
            2: Trouble(power_capped=True),
        },
        Scenario.ECC: {1: Trouble(ecc_errors=True)},
        # The last Xid of these is 79, after which the device has fallen off the bus.
        Scenario.XID: {1: Trouble(xids=True, lost_from=300.0)},
        Scenario.HUNG: {2: Trouble(hangs_from=30.0)},
    }
)
