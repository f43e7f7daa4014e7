"""The views of the Experts page, one a module; parts.py holds what they share."""
