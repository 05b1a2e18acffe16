"""The fault corpus: labelled, seeded scenarios that the shipped rules are judged by.

Raw series as exporters and engines give them, over virtual time, go through the whole rule pack in promtool (the rule
engine of Prometheus) and what fires is compared with what was done. `python -m bench.faults_bench` prints the result.
"""
