"""The one number that data and losses must agree on: the label of a position that is no target."""

IGNORE = -100
"""The default of `torch.nn.functional.cross_entropy`, and so everybody's."""
