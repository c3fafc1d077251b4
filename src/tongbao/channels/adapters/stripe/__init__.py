"""Stripe's HTTP API as a channel: payment intents, and the older charges that some replicas speak only."""
