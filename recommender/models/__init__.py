"""Models: what their own configurations tell, and a shipped table of common ones."""

from recommender.models.config import Unreadable, read_config, read_config_file
from recommender.models.table import common_model, common_models

__all__ = ["Unreadable", "common_model", "common_models", "read_config", "read_config_file"]
