"""Worker processes import what they run by its name, so the stand-ins beside this file get one."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
