"""Where wrapping keys are kept: a file, or the environment. A KMS or HSM is another ``ports.KeySource``."""
