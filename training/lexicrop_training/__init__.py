"""Trains, measures and exports lexicrop's detector."""
