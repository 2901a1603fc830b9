"""Finds the plugin's sources, and the host's modules: generated ones if they are there, else the ones that stand in."""

import sys
from importlib.util import find_spec
from pathlib import Path

here = Path(__file__).parent
sys.path.insert(0, str(here.parent / "src"))
if find_spec("wit_world") is None:
    sys.path.append(str(here / "stand_in"))
