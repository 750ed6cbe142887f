from enum import Enum

class GuardrailEventHooks(str, Enum):
    pre_call = "pre_call"
    during_call = "during_call"
