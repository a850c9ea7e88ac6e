"""The one YAML file a user writes: its schema, and how it is read.

`schema` holds the blocks (its top-level keys are the rooms' names), `loading` turns a file into a checked, resolved
config and reports every problem with its path and the nearest known key.
"""

from tunegate_core.config.loading import load_config, load_yaml, validate
from tunegate_core.config.schema import (
    AdapterSource,
    BaseBlock,
    Config,
    DataBlock,
    EvalBlock,
    FinetuneBlock,
    GovernanceBlock,
    LoraBlock,
    ParallelBlock,
    ServingBlock,
    TaskBlock,
    TrainBlock,
    json_schema,
)

__all__ = [
    "AdapterSource",
    "BaseBlock",
    "Config",
    "DataBlock",
    "EvalBlock",
    "FinetuneBlock",
    "GovernanceBlock",
    "LoraBlock",
    "ParallelBlock",
    "ServingBlock",
    "TaskBlock",
    "TrainBlock",
    "json_schema",
    "load_config",
    "load_yaml",
    "validate",
]
