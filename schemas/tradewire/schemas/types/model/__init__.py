"""The event types of model. Made by `tradewire schemas generate-types`; do not edit."""

from .action_taken import ActionTaken
from .features_updated import FeaturesUpdated
from .policy_updated import PolicyUpdated
from .training_completed import TrainingCompleted

__all__ = [
    "ActionTaken",
    "FeaturesUpdated",
    "PolicyUpdated",
    "TrainingCompleted",
]
