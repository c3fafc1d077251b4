"""Purchase histories: files of a retailer's till, read line by line, gathered into orders and planned as payments.

Reading knows files, gathering knows orders, planning knows who pays what, where and when; nothing here asks a house for
anything. ``independent`` adds a file up a second time, by another way, so that whoever replayed it can be checked.
"""
