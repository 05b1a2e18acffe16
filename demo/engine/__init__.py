"""A simulated vLLM server: real HTTP, real metric names, numbers from a continuous-batching model.

`blocks` and `model` are pure (no clock, no I/O); `runner` plays the model in real time; `server` speaks HTTP.
"""
