"""Decisions of the vault: which cards can exist, where card numbers may stand, who may see one."""
