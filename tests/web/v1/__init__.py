"""Tests of the Stripe-shaped interface."""
