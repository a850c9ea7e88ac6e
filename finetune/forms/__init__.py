"""The forms a training row can have: one file per form, each with a `PLUGIN` that is a `finetune.data.Form`."""
