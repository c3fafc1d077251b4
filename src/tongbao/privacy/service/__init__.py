"""Use cases of the vault: ``vault`` keeps cards, ``screening`` keeps them out of everything else."""
