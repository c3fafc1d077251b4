"""Who sits before a page: sign-in of people and of payers, the guards of pages, and the frames around them.

People (staff of merchants and of the house) and payers (who have a wallet) sign in at pages of their own and have cookies
of their own. ``guarding`` lets them in, ``frames`` draws the page around what they see, ``places`` says where they may go.
"""
