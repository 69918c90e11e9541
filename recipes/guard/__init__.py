"""Fitting and calibrating the mel guard."""
