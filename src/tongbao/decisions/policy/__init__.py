"""Pure rules of decisions: reasons, evaluation off policy, experiments, staged roll-out, expressions."""
