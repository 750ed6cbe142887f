"""The file by which MLflow knows how to load a bundle. Text alone: nothing here, nor in what it names, imports MLflow.

With it every bundle is a `python_function` model, on disk as in the registry: `mlflow models serve`, `spark_udf` and
`mlflow.pyfunc.load_model` call `_load_pyfunc` of `stillwatch.serve.pyfunc`, and no pickle is involved. Whoever does not
need that passes over it; `MLFLOW_ALLOW_MODEL_CODE_EXECUTION=false` refuses every pyfunc, and bundles load as ever.
"""

from __future__ import annotations

import json
import sys

MLMODEL = "MLmodel"
"""Its name in the bundle."""

REGISTERED_META = "registered_model_meta"
"""What MLflow lays beside an `MLmodel` when it fetches a registered version; nobody reads it here."""

REQUEST_COLUMN = "request"
"""The column that is scored: JSON text of an OpenAI or Anthropic body, or of a row of ours."""

OUTPUT_COLUMNS = {
    "action": "string",
    "probability": "double",
    "logit": "double",
    "technique": "string",
    "technique_probability": "double",
    "reasons": "string",
    "model_version": "string",
    "error": "string",
}
"""What comes back for each request, by MLflow's types."""


def build_mlmodel() -> str:
    """The file's text: JSON, which is YAML, too."""
    outputs = [
        {"type": kind, "name": name, "required": name in ("action", "model_version")}
        for name, kind in OUTPUT_COLUMNS.items()
    ]
    told = {
        "flavors": {
            "python_function": {
                "loader_module": "stillwatch.serve.pyfunc",
                "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
            }
        },
        "signature": {
            "inputs": json.dumps([{"type": "string", "name": REQUEST_COLUMN, "required": True}]),
            "outputs": json.dumps(outputs),
            "params": None,
        },
    }
    return json.dumps(told, indent=2) + "\n"
