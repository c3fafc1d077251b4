"""The channels of this house: which there are, how they are built, what their codes mean."""
