"""Durable state: notifications, incidents, workflows and the audit chain, in SQLite or PostgreSQL."""

from recommender.store.database import Database
from recommender.store.store import Store

__all__ = ["Database", "Store"]
