"""The SQL of the parties. What a merchant owns is reached through a ``Scope`` alone."""
