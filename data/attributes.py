"""What a request may ask for, and how: the closed vocabulary of `attributes`.

Attributes are no guilt: honest requests carry them too. They teach the classifier's second heads, and they are what
the reason codes of a verdict mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "asks_reasoning_trace": "wants the working, step by step, as part of the answer",
        "asks_hidden_reasoning": "wants thinking that is usually kept back, or its wording verbatim",
        "asks_tasks": "wants questions, tasks, exercises or prompts to be written",
        "asks_rewriting": "wants a prompt, question, text or trace put in other words, made harder or cleaned",
        "asks_rating": "wants a score, grade or label of quality",
        "asks_comparison": "wants two or more things ranked or one of them preferred",
        "asks_critique": "wants strengths and faults told in words",
        "asks_trajectory": "wants several steps of an agent: thoughts, actions, observations",
        "asks_tool_calls": "wants calls of tools or APIs, or their arguments",
        "asks_dialogue": "wants a conversation written",
        "asks_code": "wants code",
        "asks_tests": "wants tests",
        "asks_problem_and_solution": "wants a problem together with its solution",
        "gives_gold_answer": "holds the right answer to what it asks",
        "gives_model_answer": "holds an answer by a model, a pupil or another candidate",
        "gives_trace": "holds a chain of reasoning or of actions",
        "fixed_output_contract": "prescribes tags, slots, a schema or a fixed last line",
        "exemplars": "holds worked examples of what is asked",
        "batch": "asks for many items, or gives many",
        "invented_content": "wants things made up: people, APIs, data, cases",
        "own_content": "is about text, code or data that the asker brings and owns",
        "follow_up": "goes on from an earlier turn",
        "addresses_classifier": "speaks to filters, monitors or policies about itself",
        "diversity_demand": "wants the items unlike one another",
    }
)
"""Every attribute with its meaning: a request that ..."""
