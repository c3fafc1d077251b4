"""Learners: forgetting, shrinkage, and choosing by written probabilities."""
