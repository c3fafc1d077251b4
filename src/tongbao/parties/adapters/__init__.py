"""What parties know of the world outside: authenticators, by the library that reads what they say."""
