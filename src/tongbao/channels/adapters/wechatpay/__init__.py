"""WeChat Pay, API v3: codes to scan and to be scanned, pages, mini-programs, refunds, transfers."""
