"""The command line, one file per group of commands. Each parses, calls one service and prints."""
