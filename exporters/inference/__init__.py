"""The inference prober: reads an engine's exposition and answers in the canonical `llm_*` families."""

from exporters.inference.probe import Prober, ProbeResult
from exporters.inference.targets import AllowList, Target, TargetError, parse_target

__all__ = ["AllowList", "ProbeResult", "Prober", "Target", "TargetError", "parse_target"]
