"""GPUs through NVML.

`readings` and `parts` are tables of what is asked (`calls`) and in which `units`. `device` reads one device: what it
supports (`taking`), its slices (`mig`) and `processes`. `worker` does so in a thread, `events` waits for Xids, and
`sampler` keeps the `session` with the driver and both of them going. `collector` renders the last `snapshot`.
"""
