"""The ops console: pages for the people who watch over routing, decisions and risk.

Read-only but for the pages of risk control, where analysts work cases; all other acts are the API's.

Server-rendered and complete without JavaScript like the ledger explorer, whose frame, preferences and content
policy it shares. Who enters is signed in and holds the permission that a page asks for (``entering``).
"""
