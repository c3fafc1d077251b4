"""Decisions of risk control: rules, lists, caps, tiers, reasons, priorities of cases; pure."""
