"""The ops console: pages for the people who watch over routing, decisions and risk.

Read-only but for the pages of risk control, where analysts work cases; all other acts are the API's.

Server-rendered and complete without JavaScript like the ledger explorer, whose frame, preferences and content
policy it shares. There is no sign-in yet, so it is served on loopback only.
"""
