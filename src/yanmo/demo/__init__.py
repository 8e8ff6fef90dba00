"""The demo: a small Chinese town told in many ways, and the recipe that grows a model from it."""
