"""The event types of setup. Made by `tradewire schemas generate-types`; do not edit."""

from .bot_connected import BotConnected
from .channel_scanned import ChannelScanned
from .message_processed import MessageProcessed
from .message_received import MessageReceived
from .message_stored import MessageStored
from .named_types import Direction, MessageOutcome, ParsedSetup
from .parse_completed import ParseCompleted
from .parse_failed import ParseFailed
from .plan_created import PlanCreated

__all__ = [
    "BotConnected",
    "ChannelScanned",
    "Direction",
    "MessageOutcome",
    "MessageProcessed",
    "MessageReceived",
    "MessageStored",
    "ParseCompleted",
    "ParseFailed",
    "ParsedSetup",
    "PlanCreated",
]
