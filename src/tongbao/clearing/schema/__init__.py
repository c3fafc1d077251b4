"""What clearing speaks of: fees, calendars, agreements, movements, batches, payouts, lines, matches, breaks, days."""
