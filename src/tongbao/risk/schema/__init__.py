"""What risk control speaks of: signals, tiers, facts, policies, lists, challenges, freezes, cases."""
