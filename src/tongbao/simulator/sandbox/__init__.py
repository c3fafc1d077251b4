"""The world outside, over real sockets: Alipay, WeChat Pay and card acquirers with a will of their own.

It speaks the public protocols from its own reading of them and shares no code with our adapters, so that a mistake
on either side shows. Its book says what every outside party believes to have happened; drills count double charges
from it.
"""
