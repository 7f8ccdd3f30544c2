"""Functions that a model may call: schemas, context, execution, answers, the automatic loop."""
