"""The exporter as an agent: registers with a recommender or another orchestrator, and says how it does.

Off unless an orchestrator is named. All of it runs in one thread of its own: an orchestrator that is absent, slow or
hostile changes nothing about scrapes.
"""
