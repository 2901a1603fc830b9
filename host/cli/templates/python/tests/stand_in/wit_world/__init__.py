"""Stands in for the modules that componentize-py generates from `wit/`: what a shaper and its tests use of them.

`componentize-py -d wit -w WORLD bindings DIR` writes the real ones; with DIR in PYTHONPATH the tests use those.
"""
