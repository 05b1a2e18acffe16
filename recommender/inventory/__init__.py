"""What a team tells OptiInfra of its services: the models behind `inventory.yml`, and the reader of that file."""

from recommender.inventory.base import InventoryProblems, check_http_url, instance_of
from recommender.inventory.file import load_inventory, parse_inventory
from recommender.inventory.hardware import HardwareConfig
from recommender.inventory.model import Inventory
from recommender.inventory.replica import Companion, ReplicaConfig
from recommender.inventory.service import Engine, ObjectiveConfig, PolicyConfig, ServiceConfig
from recommender.inventory.settings import DeclaredSettings
from recommender.inventory.tuning import SuccessConfig, TuningConfig
from recommender.inventory.verification import VerificationConfig

__all__ = [
    "Companion",
    "DeclaredSettings",
    "Engine",
    "HardwareConfig",
    "Inventory",
    "InventoryProblems",
    "ObjectiveConfig",
    "PolicyConfig",
    "ReplicaConfig",
    "ServiceConfig",
    "SuccessConfig",
    "TuningConfig",
    "VerificationConfig",
    "check_http_url",
    "instance_of",
    "load_inventory",
    "parse_inventory",
]
