"""Types of decisions: the log, policies and their versions, evaluation, experiments."""
