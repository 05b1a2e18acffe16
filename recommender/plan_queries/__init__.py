"""What a person can ask Prometheus to see whether a change worked, or has to be taken back."""

from recommender.plan_queries.expressions import known, readable
from recommender.plan_queries.rollback import rollback_queries
from recommender.plan_queries.success import success_queries

__all__ = ["known", "readable", "rollback_queries", "success_queries"]
