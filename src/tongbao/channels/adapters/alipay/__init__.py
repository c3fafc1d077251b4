"""Alipay's open platform (``gateway.do``, RSA2): codes to scan and to be scanned, pages, apps, refunds, transfers."""
