"""YAML and overrides -> dataclasses (`loading`); dataclasses -> objects (`assembly`)."""
