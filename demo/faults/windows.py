"""How much of the past each alert's condition reads: the fault has to fill that before the condition can be true.

Seconds, on top of `for`. A share over five minutes that a fault moves a little needs most of its window, one that it
moves a lot needs less; this is the most. Conditions that read the last sample need nothing.
"""

MINUTE, HOUR = 60.0, 3600.0

WINDOWS: dict[str, float] = {
    "LLMKVCachePressure": 2 * MINUTE,
    "LLMKVCacheThrash": 5 * MINUTE,
    # The queue's share of TTFT, over five minutes of requests that have got their first token.
    "LLMAdmissionLimited": 5 * MINUTE,
    "LLMQueueBuildup": 2 * MINUTE,
    "LLMHighTTFT": 5 * MINUTE,
    "LLMHighITL": 5 * MINUTE,
    "LLMLowThroughput": 5 * MINUTE,
    "LLMCacheInefficiency": 5 * MINUTE,
    "LLMExternalCacheUnhealthy": 0.0,
    "LLMExternalCacheInefficiency": 5 * MINUTE,
    "LLMPrefillBound": 5 * MINUTE,
    "LLMDecodeBandwidthBound": 5 * MINUTE,
    "LLMReplicaStraggler": 5 * MINUTE,
    "LLMReplicaImbalance": 2 * MINUTE,
    "LLMRequestErrors": 5 * MINUTE,
    "LLMRequestErrorsHigh": 5 * MINUTE,
    "LLMRequestsRejected": 5 * MINUTE,
    "LLMRequestAborts": 5 * MINUTE,
    "LLMTargetDown": 0.0,
    "LLMServiceDown": 0.0,
    "LLMEngineFrozen": 30.0,
    "GPUThermalThrottle": 5 * MINUTE,
    "GPUHardwareSlowdown": 5 * MINUTE,
    "GPUPowerLimit": 5 * MINUTE,
    "GPUPowerBrake": 5 * MINUTE,
    "GPULinkSaturation": 5 * MINUTE,
    "GPUFault": 0.0,
    "GPULost": 1 * MINUTE,
    "GPULinkDegraded": 5 * MINUTE,
    "GPURepairPending": 0.0,
    # Growth is measured over half an hour.
    "GPUMemoryPressure": 30 * MINUTE,
    "GPUMemoryExhaustion": 30 * MINUTE,
    "GPUIdle": 6 * HOUR,
    "HostCPUSaturation": 2 * MINUTE,
    "HostEngineThreadSaturation": 2 * MINUTE,
    "HostMemoryPressure": 2 * MINUTE,
    "HostMemoryStall": 2 * MINUTE,
    "HostOOMKill": 0.0,
    "HostDiskSaturation": 2 * MINUTE,
    # Both halves of the last hour have to show that it fills.
    "HostFilesystemFilling": 1 * HOUR,
    "HostFilesystemFull": 0.0,
    "HostNetworkSaturation": 2 * MINUTE,
    "HostNetworkErrors": 2 * MINUTE,
    # Growth is looked for in twenty minutes of averages over five; how soon it is enough depends on how fast it is.
    "LLMPredictedSaturation": 40 * MINUTE,
    # A day of demand, and half an hour in which nothing spoke against it.
    "LLMOverProvisioned": 24.5 * HOUR,
    # What an hour cost, over the tokens of that hour.
    "LLMCostPerTokenHigh": 1 * HOUR,
    # Long windows of the burn rates; a share that is far over the limit needs less.
    "LLMErrorBudgetBurnFast": 1 * HOUR,
    "LLMErrorBudgetBurnSlow": 24 * HOUR,
}
