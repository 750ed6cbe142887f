"""The serving room: the scorer's public face. Imports no torch, no mlflow and nothing of training."""

from stillwatch.data.errors import BundleError, InputError, StillwatchError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request, Tool, ToolCall
from stillwatch.model.calibration import Action
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import REASON_CODES, Coverage, Evidence, Reason, Verdict

__all__ = [
    "REASON_CODES",
    "Action",
    "BundleError",
    "Coverage",
    "Evidence",
    "InputError",
    "Message",
    "Reason",
    "Request",
    "Role",
    "Scorer",
    "StillwatchError",
    "Tool",
    "ToolCall",
    "Verdict",
]
