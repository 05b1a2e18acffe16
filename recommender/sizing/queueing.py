"""Queues: Little's law, Erlang's C and Sakasegawa's wait (tuning §2.5). Times in seconds, rates per second."""

import math


def little(rate: float, seconds: float) -> float:
    """Requests in a place that `rate` pass, each staying for `seconds`: L = lambda·W."""
    return rate * seconds


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival waits: M/M/c with `offered` = lambda·S; 1 where the queue grows without bound.

    By the recursion of Erlang's B, which does not overflow.
    """
    if servers < 1 or offered < 0:
        raise ValueError("a queue has at least one server and a load that is not negative")
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def mmc_wait_seconds(rate: float, service_seconds: float, servers: int) -> float | None:
    """Mean wait in the queue of M/M/c; None where it grows without bound."""
    offered = rate * service_seconds
    if offered >= servers:
        return None
    return erlang_c(servers, offered) * service_seconds / (servers - offered)


def sakasegawa_wait_seconds(
    utilization: float, service_seconds: float, servers: float, *, cv_arrivals: float = 1.0, cv_service: float = 1.0
) -> float | None:
    """Mean wait of G/G/c: rho^(sqrt(2(c+1)) - 1)/(c·(1 - rho))·S·(CV_a² + CV_s²)/2; None from rho = 1 on."""
    if utilization < 0 or servers <= 0:
        raise ValueError("utilization is not negative and there are servers")
    if utilization >= 1:
        return None
    power = math.pow(utilization, math.sqrt(2 * (servers + 1)) - 1)
    spread = (cv_arrivals**2 + cv_service**2) / 2
    return power / (servers * (1 - utilization)) * service_seconds * spread
