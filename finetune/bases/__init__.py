"""Where a base model can come from: one file per scheme, each with a `PLUGIN` that is a `finetune.base.BaseSource`."""
