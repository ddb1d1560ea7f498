"""Chips, tiles and labels: reading, rasterizing, vectorizing, synthesizing, drawing.

Knows no model and no catalog.
"""
